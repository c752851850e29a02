"""The command line. Nothing here, nor anything it imports to print help, loads Keras or pandas."""

from __future__ import annotations

import os
import sys

import typer

from bench.cli.commands.cache import cache
from bench.cli.commands.check import check
from bench.cli.commands.check_strategy import check_strategy
from bench.cli.commands.compare import compare
from bench.cli.commands.export import export
from bench.cli.commands.ls import ls
from bench.cli.commands.plan import plan
from bench.cli.commands.pretrain import pretrain
from bench.cli.commands.rank import rank
from bench.cli.commands.recommend import recommend
from bench.cli.commands.report import report
from bench.cli.commands.run import run
from bench.cli.expand import expanded
from bench.errors import BenchError
from bench.system.names import shown

COMMANDS = (
    run, plan, rank, check, check_strategy, report, recommend, export, pretrain, compare, ls, cache,
)  # fmt: skip
"""In the order of ``--help``."""

app = typer.Typer(
    name="bench",
    help="Measures on your own labelled images which transfer strategy to use, and on which backbone.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in COMMANDS:
    app.command()(expanded(command))


def main() -> None:
    """Runs the command line; every expected error is one message on standard error, and its exit code."""
    # Names of files may hold bytes that the terminal's encoding lacks; they are shown escaped.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        app(prog_name="python -m bench")
    except BenchError as error:
        print("\n".join(map(shown, f"bench: {error}".split("\n"))), file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe has left (``| head``); nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
