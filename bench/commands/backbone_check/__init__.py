"""``bench check-backbone``."""
