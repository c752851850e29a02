"""Losses that make features of two domains alike: one file each, by the name in ``strategies.ALIGNMENTS``."""
