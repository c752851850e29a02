"""A strategy, a backbone and a dataset for transfer-bench."""
