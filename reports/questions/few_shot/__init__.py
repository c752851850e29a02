"""The questions of the few-shot protocol."""
