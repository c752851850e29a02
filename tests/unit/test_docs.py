"""README and docs: links lead somewhere, commands and plans are accepted, generated pages are up to date, sentences
are short."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

import bench
from bench.cli.app import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
if not DOCS.exists():
    pytest.skip("the docs are not installed with the packages", allow_module_level=True)

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]

FENCE = re.compile(
    r"^(?:<!-- (?P<marker>[^\n]*) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
MOST_WORDS, MEAN_WORDS = 25, 16
BANNED_OPENINGS = re.compile(r"(Of (?!course)|What |Those that )")
README_BYTES = 6 * 1024

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


class Block(NamedTuple):
    """A block of code, with the comment in the line before it."""

    marker: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    found = FENCE.finditer(page.read_text(encoding="utf-8"))
    return [Block(one["marker"] or "", one["language"], one["text"]) for one in found]


def prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"<!--.*?-->", "", FENCE.sub("\n\n", page.read_text(encoding="utf-8")), flags=re.S)


# ---------------------------------------------------------------------------------------------------- the site


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("mkdocs", "material"))),
    reason="mkdocs-material: pip install '.[docs]'",
)
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS).with_suffix("")
        folder = name.parent if name.name == "index" else name
        assert (tmp_path / folder / "index.html").exists(), page


# -------------------------------------------------------------------------------------------------- the README


def test_readme_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= README_BYTES


def test_readme_has_the_test_command_where_ci_looks_for_it() -> None:
    assert re.search(
        r"^<!-- test command -->\n```\n.* -m pytest .*\n```$", (ROOT / "README.md").read_text(), re.M
    )


# ------------------------------------------------------------------------------------------------------- links


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if link.startswith("http"):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_in_the_navigation() -> None:
    named = set(re.findall(r"- ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M))
    assert named == {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert all(f"({name})" in (DOCS / "index.md").read_text() for name in named - {"index.md"})


# --------------------------------------------------------------------------------------------------- commands


def commands(text: str) -> Iterator[list[str]]:
    """The arguments of each ``python -m bench`` in a shell text."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        for start in (at for at in range(len(words)) if words[at : at + 2] == ["-m", "bench"]):
            until = next((at for at in range(start, len(words)) if words[at] in ("|", "&&", ">")), len(words))
            yield words[start + 2 : until]


def refusal(arguments: list[str]) -> str:
    """Why a command is not one; empty if it is. Nothing is run."""
    name, *options = arguments or ["--help"]
    if name not in COMMANDS:
        return "" if name.startswith("-") else f"{name}: no such command"
    try:
        COMMANDS[name].make_context(name, options)
    except Exception as error:
        return f"{shlex.join(arguments)}: {getattr(error, 'message', error)!s}"
    return ""


@every_page
def test_commands_are_accepted(page: Path) -> None:
    text = "\n".join(block.text for block in blocks(page) if block.language in ("sh", ""))
    inline = "\n".join(re.findall(r"`(python -m bench [^`]+)`", prose(page)))
    tried = [refusal(arguments) for arguments in commands(f"{text}\n{inline}")]
    assert [refused for refused in tried if refused] == []


@every_page
def test_options_that_are_named_exist(page: Path) -> None:
    known = {
        name
        for command in COMMANDS.values()
        for option in command.params
        for name in option.opts + option.secondary_opts
    }
    named = set(re.findall(r"`(?:[^`\n]* )?(--[a-z-]+)", prose(page)))
    assert named - known - {"--help", "--version"} == set()


def test_a_command_that_is_none_is_noticed() -> None:
    assert refusal(["run", "--datasset", "photos/"])
    assert refusal(["runn"])
    assert [*commands("A=1 python -m bench ls x | grep y  # no")] == [["ls", "x"]]


@every_page
def test_blocks_say_who_runs_them(page: Path) -> None:
    for block in blocks(page):
        kind, _, name = block.marker.partition(": ")
        assert block.language != "sh" or kind in ("example", "run"), block.text
        if kind == "run":
            assert page.name in (ROOT / name).read_text(), f"{name} does not run {page.name}"


# ------------------------------------------------------------------------------------------- plans and Python


@every_page
def test_plans_are_plans(page: Path) -> None:
    for block in blocks(page):
        if block.language == "toml" and not block.text.startswith("# pyproject.toml"):
            bench.load_plan(tomllib.loads(block.text))


@every_page
def test_python_compiles(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, str(page), "exec")


# --------------------------------------------------------------------------------------------- generated pages


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", generator().PAGES)
def test_generated_pages_are_those_of_the_code(name: str) -> None:
    committed = (DOCS / "reference" / name).read_text(encoding="utf-8")
    assert committed == generator().page(name), "out of date: run python docs/generate.py"


@pytest.mark.parametrize("name", ["plan.md", "strategy-api.md"])
def test_everything_has_a_meaning(name: str) -> None:
    assert re.findall(r"^\| `(\w+)` \|.*\|\s+\|$", (DOCS / "reference" / name).read_text(), re.M) == []


# --------------------------------------------------------------------------------------------------- sentences


def texts(page: Path) -> Iterator[str]:
    """Paragraphs, items of lists and cells of tables; code and links count as the words that they show."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"`[^`]*`", "code", prose(page)))
    text = re.sub(r"^(\s*)(?:[-*]|\d+\.) ", r"\n", text, flags=re.M)
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.lstrip().startswith("|"):
            yield from (cell.strip() for line in paragraph.splitlines() for cell in line.split("|"))
        elif not paragraph.lstrip().startswith("#"):
            yield " ".join(paragraph.split())


def sentences(page: Path) -> list[str]:
    parts = (part for text in texts(page) for part in re.split(r"(?<=[.!?])[\"')*]*\s+", text))
    return [part for part in parts if re.search(r"\w", part)]


@every_page
def test_sentences_are_short(page: Path) -> None:
    assert [one for one in sentences(page) if len(one.split()) > MOST_WORDS] == []
    assert [one for one in sentences(page) if ";" in one] == []


@every_page
def test_sentences_lead_with_who_acts(page: Path) -> None:
    assert [one for one in sentences(page) if BANNED_OPENINGS.match(one)] == []


def test_readme_reads_easily() -> None:
    lengths = [
        len(one.split()) for one in sentences(ROOT / "README.md") if one.endswith((".", ":", "!", "?"))
    ]
    assert len(lengths) > 15
    assert sum(lengths) / len(lengths) <= MEAN_WORDS
