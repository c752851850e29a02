"""The command line. Nothing here, nor anything it imports to print help, loads Keras or pandas."""

from __future__ import annotations

import sys
from typing import NoReturn

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
from bench.cli.streams import open_streams
from bench.errors import BenchError
from bench.system.machine import available_memory
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
    open_streams()
    try:
        app(prog_name="python -m bench")
    except BenchError as error:
        _end(str(error), error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except MemoryError:
        _end(
            f"there is too little memory ({available_memory() / 2**20:.0f} MiB are free now). {LESS_MEMORY}",
            1,
        )
    except OSError as error:  # of the surroundings: no code of ours knows better what it was about
        where = f"{error.filename}: " if error.filename is not None else ""
        _end(
            f"{where}{error.strerror or error}. Check that path, its permissions and the room on its disk.", 2
        )


LESS_MEMORY = "Close other programs, or take fewer --workers, a smaller image_size or a smaller batch_size."


def _end(message: str, code: int) -> NoReturn:
    print("\n".join(map(shown, f"bench: {message}".split("\n"))), file=sys.stderr)
    sys.exit(code)
