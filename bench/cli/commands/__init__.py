"""The commands, one function in one file each; ``bench.cli.app`` lists them. Their docstrings are their help."""
