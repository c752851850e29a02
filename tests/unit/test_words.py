"""What people read is short, active and free of semicolons: help, errors, and what the command line prints."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

import bench
from bench.cli.app import app
from bench.cli.options import GROUPS

ROOM = Path(bench.__file__).parent
ERRORS = {"RequestError", "BenchError", "RunLocked", "StoreError", "Unlockable", "_error", "refuse"}
PRINTS = {"print", "tell", "say", "_print"}
NAMED = {"expected", "remedy"}
"""What errors are made of is often told in variables of these names first."""
LONGEST, MEAN = 25, 16
OPENINGS = ("Of ", "What ", "Those that ", "Without arguments")


def sentences(text: str) -> list[str]:
    """Those of a text, without commands to copy and without what stands in brackets or quotes."""
    text = re.sub(r"\([^()]*\)|`[^`]*`|python -m bench \S+.*|\bpip install .*|\S*['\"]\S*", "x", text)
    return [part for part in re.split(r"(?<=[.!?:])\s+|\n+", text.strip()) if len(part.split()) > 1]


def problems(text: str) -> list[str]:
    """What is wrong with a text; nothing in an empty list."""
    found = [f"{len(s.split())} words: {s}" for s in sentences(text) if len(s.split()) > LONGEST]
    found += [f"semicolon: {text}"] if "; " in text else []
    return found + [f"opening: {s}" for s in sentences(text) if s.startswith(OPENINGS)]


def told(node: ast.expr) -> str:
    """The text of a literal or of an f-string, with one word for what is filled in; empty for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(told(part) if isinstance(part, ast.Constant) else "x" for part in node.values)
    return ""


def texts(names: set[str], variables: set[str], folder: Path) -> Iterator[tuple[str, str]]:
    """All texts that are passed to functions of these names, or stored in variables of those; with their places."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            given: list[ast.expr] = []
            if isinstance(node, ast.Call):
                function = node.func
                name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
                given = node.args if name in names else []
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in variables:
                given = [node.value]
            for argument in given:
                if " " in (text := told(argument).strip()):
                    yield f"{path.relative_to(folder)}:{node.lineno}", text


def helps() -> Iterator[tuple[str, str]]:
    """The help of every command and of every option."""
    root = typer.main.get_command(app)
    commands = {"bench": root, **root.commands}  # type: ignore[attr-defined]
    for name, command in commands.items():
        yield name, " ".join((command.help or "").split())
        for parameter in command.params:
            yield f"{name} {parameter.name}", " ".join((getattr(parameter, "help", "") or "").split())


def docstrings() -> Iterator[tuple[str, str]]:
    """Those of what ``import bench`` gives, a paragraph each."""
    for name in bench.__all__:
        whole = getattr(bench, name)
        parts = vars(whole).items() if inspect.isclass(whole) else ()
        public = [(key, part) for key, part in parts if not key.startswith("_") and _is_told(part)]
        for key, part in [("", whole), *public]:
            for paragraph in re.split(r"\n\s*\n", inspect.getdoc(part) or ""):
                yield f"{name}.{key}", " ".join(paragraph.split())


def _is_told(part: object) -> bool:
    return inspect.isfunction(part) or isinstance(part, property)


COLLECTED = {
    "docstrings": list(docstrings()),
    "help": list(helps()),
    "errors": list(texts(ERRORS, NAMED, ROOM)),
    "printed": list(texts(PRINTS, set(), ROOM / "cli")),
}


@pytest.mark.parametrize("kind", COLLECTED)
def test_words_are_plain(kind: str) -> None:
    found = COLLECTED[kind]
    assert len(found) > 30
    wrong = [f"{place}: {problem}" for place, text in found for problem in problems(text)]
    assert wrong == []
    lengths = [len(sentence.split()) for _, text in found for sentence in sentences(text)]
    assert sum(lengths) / len(lengths) <= MEAN


def test_what_is_not_plain_is_found() -> None:
    assert problems("Of one image.")
    assert problems("The one; the other.")
    assert problems("a " * 26 + ".")
    assert problems("What is wrong it says in words.")
    assert not problems("Maximum inference time per image, in ms.")


def test_every_option_has_help_that_ends_as_a_sentence_and_a_group() -> None:
    root = typer.main.get_command(app)
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        assert re.match(r"[A-Z][a-z]+ ", command.help), name
        for parameter in command.params:
            help = getattr(parameter, "help", "")
            where = f"{name} --{parameter.name}"
            if parameter.param_type_name == "option":
                assert parameter.rich_help_panel in GROUPS, where
                assert help, where
                assert help.endswith("."), where
            assert re.match(r"[A-Z]", help or "A"), where


def test_a_command_begins_with_a_verb_that_tells_what_to_do() -> None:
    root = typer.main.get_command(app)
    verbs = {command.help.split()[0] for command in root.commands.values()}  # type: ignore[attr-defined]
    assert not [verb for verb in verbs if verb.endswith("s")]
