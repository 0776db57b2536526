"""What a caller presents: sessions, grants and their tokens, API keys, tickets. Knows people only by their id."""
