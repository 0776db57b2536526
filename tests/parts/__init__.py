"""The real parts that tests use, each started on loopback, each ending with the test run."""
