"""Values that every room shares; this room knows nothing of the others."""
