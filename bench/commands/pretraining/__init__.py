"""``bench pretrain``."""
