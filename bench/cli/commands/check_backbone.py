"""``bench check-backbone``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.options import ADVANCED, whole


def check_backbone(
    name: Annotated[
        str,
        typer.Argument(
            metavar="B",
            help="Backbone, such as net.keras,pixels=0..1 or a name of `ls backbones`.",
            show_default=False,
        ),
    ],
    image_size: Annotated[
        int | None, whole("Side of the square input, in pixels.  Default: 96, or that of the file.", ADVANCED)
    ] = None,
) -> None:
    """Check that a network of your own can be a backbone."""
    from bench.commands.backbone_check.check import check_backbone as check_it

    found = check_it(name, image_size)
    print(found)
    raise typer.Exit(0 if found.ok else 1)
