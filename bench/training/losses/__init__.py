"""Losses beside cross-entropy, one file a family."""
