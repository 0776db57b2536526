"""What `make` runs: set-up, tests, proof."""
