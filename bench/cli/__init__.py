"""The command line: ``python -m bench``, also installed as ``transfer-bench``."""

from bench.cli.app import main as main
