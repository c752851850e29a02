"""``bench check-strategy``."""
