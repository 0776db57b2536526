"""Tokens, sealed values, signing keys and JWTs. Pure: no database, clock or network; knows `ground` only."""
