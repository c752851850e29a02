"""The command line. Nothing here, nor anything it imports to print help, loads Keras or pandas."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from bench.cli.commands.cache import cache
from bench.cli.commands.check import check
from bench.cli.commands.check_backbone import check_backbone
from bench.cli.commands.check_strategy import check_strategy
from bench.cli.commands.compare import compare
from bench.cli.commands.export import export
from bench.cli.commands.log import log
from bench.cli.commands.ls import ls
from bench.cli.commands.plan import plan
from bench.cli.commands.pretrain import pretrain
from bench.cli.commands.rank import rank
from bench.cli.commands.recommend import recommend
from bench.cli.commands.report import report
from bench.cli.commands.run import run
from bench.cli.commands.schema import schema
from bench.cli.expand import expanded
from bench.cli.options import GROUPS
from bench.cli.streams import open_streams
from bench.errors import BenchError
from bench.system.machine import available_memory
from bench.system.names import shown

COMMANDS = (
    run, plan, rank, check, check_strategy, check_backbone, report, recommend, export, log, pretrain, compare,
    ls, schema, cache,
)  # fmt: skip
"""In the order of ``--help``."""

app = typer.Typer(
    name="bench",
    help="Find the best transfer strategy and backbone for your own labelled images.",
    epilog="For completion of commands and options in your shell, run: transfer-bench --install-completion",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
INSTALLED = "transfer-bench"
"""The command as it is installed, which shells can complete."""


class Grouped(TyperCommand):
    """A command whose ``--help`` has its options under headings."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        found: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        found |= {f"{group} options": [] for group in GROUPS} | {"Options": []}
        for parameter in self.get_params(ctx):
            if (line := parameter.get_help_record(ctx)) is None:
                continue
            group = getattr(parameter, "rich_help_panel", None)
            is_option = parameter.param_type_name == "option"
            heading = "Arguments" if not is_option else f"{group} options" if group else "Options"
            found[heading].append(line)
        for heading, lines in found.items():
            if lines:
                with formatter.section(heading):
                    formatter.write_dl(lines)


for command in COMMANDS:
    app.command(cls=Grouped)(expanded(command))


def _print_version(asked: bool) -> None:
    if not asked:
        return
    from bench.system.provenance import versions

    found = versions()
    packages = {
        "transfer-bench": "transfer-bench",
        "python": "Python",
        "keras": "Keras",
        "tensorflow": "TensorFlow",
    }
    print(", ".join(f"{name} {found.get(key, 'not installed')}" for key, name in packages.items()))
    raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the versions and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Runs the command line; every expected error is one message on standard error, and its exit code."""
    open_streams()
    try:
        app(prog_name=_program())
    except BenchError as error:
        _end(str(error), error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except MemoryError:
        _end(
            f"there is too little memory, {available_memory() / 2**20:.0f} MiB are free. {LESS_MEMORY}",
            1,
        )
    except OSError as error:  # of the surroundings: no code of ours knows better what it was about
        where = f"{error.filename}: " if error.filename is not None else ""
        _end(
            f"{where}{error.strerror or error}. Check that path, its permissions and the room on its disk.", 2
        )


def _program() -> str:
    """Returns what the program is called. Shells complete only the installed command."""
    completes = {"--install-completion", "--show-completion"}.intersection(sys.argv)
    return INSTALLED if completes or "_TRANSFER_BENCH_COMPLETE" in os.environ else "python -m bench"


LESS_MEMORY = "Close other programs, or take fewer --workers, a smaller image_size or a smaller batch_size."


def _end(message: str, code: int) -> NoReturn:
    print("\n".join(map(shown, f"bench: {message}".split("\n"))), file=sys.stderr)
    sys.exit(code)
