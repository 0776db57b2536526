"""The relational store: SQLite embedded, or PostgreSQL; one query file per room, each function takes the Tx first."""
