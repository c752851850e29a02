"""``bench export``."""
