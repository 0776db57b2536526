"""Speed, as ratios measured in one run: `make bench`. Does a refusal tell what exists: `make timing`."""
