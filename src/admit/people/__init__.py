"""People: accounts, their names and addresses, and what proves who they are."""
