"""Which folders of a tree are parts, which are classes, and which only wrap others.

Only folders with examples below them count. Where two readings are possible, none is taken: the message says how to
arrange the folders so that there is one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.datasets.labels import key_of
from bench.datasets.parts import (
    PartName,
    are_numbered_containers,
    are_unlike,
    is_container,
    is_fold,
    is_plain,
    is_unlabelled,
    part_of,
    parts_of,
)
from bench.errors import RequestError
from bench.modalities.findings import Finding
from bench.modalities.nouns import Noun
from bench.system.names import printable

Parts = tuple[str, ...]
"""A path, name by name."""

MANIFEST = "write a manifest with the columns path,label,split"
"""The remedy wherever folders cannot say it."""


@dataclass(frozen=True)
class Arrangement:
    """How a folder is read.

    Attributes:
        roots: the folders whose folders are classes -> the part that is in them; None: of no given part.
        parts_below: whether each class folder holds parts, as in ``cats/train/1.jpg``.
        findings: what a reader may have meant otherwise.
    """

    roots: Mapping[Parts, PartName | None]
    parts_below: bool = False
    findings: tuple[Finding, ...] = ()

    def place(self, path: Parts) -> tuple[str, PartName | None] | None:
        """The class folder and the part of an image; None if it lies in no class folder."""
        for root, part in self.roots.items():
            if path[: len(root)] == root and len(path) > len(root) + 1 and not is_unlabelled(path[len(root)]):
                below = part_of(path[len(root) + 1]) if self.parts_below else None
                return path[len(root)], below or part
        return None

    def why_not(self, path: Parts) -> str:
        """Why an image is in no class folder."""
        tops = {root[0] for root in self.roots if root}
        if any(map(is_unlabelled, path[:-1])):
            return "without a label by the name of its folder"
        if len(path) == 1 or not tops:
            return "in no class folder"
        if path[0] in tops or part_of(path[0]):
            return f"in {printable(path[0])}/, but in no class folder there"
        return f"in {printable(path[0])}/, which is no part by its name"


@dataclass
class _Node:
    """A folder with images below it."""

    direct: int = 0
    """Images in itself."""
    folders: dict[str, _Node] = field(default_factory=dict)

    def walk(self, path: Parts = ()) -> Iterator[tuple[Parts, _Node]]:
        """All folders below, with their paths."""
        for name, node in self.folders.items():
            yield (*path, name), node
            yield from node.walk((*path, name))

    @property
    def labelled(self) -> dict[str, _Node]:
        """The folders whose names do not say that they have no labels."""
        return {name: node for name, node in self.folders.items() if not is_unlabelled(name)}


def arranged(root: Path, paths: Iterable[Parts], noun: Noun) -> Arrangement:
    """Finds the class folders.

    Args:
        root: for messages.
        paths: of all examples below it.
        noun: what to call these.

    Raises:
        RequestError: there are fewer than two, or the folders can be read in several ways.
    """
    return _Reader(root, _tree(paths), noun.many).read()


def _tree(paths: Iterable[Parts]) -> _Node:
    tree = _Node()
    for path in paths:
        node = tree
        for name in path[:-1]:
            node = node.folders.setdefault(name, _Node())
        node.direct += 1
    return tree


@dataclass
class _Reader:
    root: Path
    tree: _Node
    many: str
    """What the examples are called."""

    def read(self) -> Arrangement:
        parts = self._parts()
        if parts:
            roots: dict[Parts, PartName | None] = dict(self._class_roots(parts))
        else:
            self._refuse_wrapped()
            if self._parts_below():
                return Arrangement({(): None}, parts_below=True, findings=(_read_as_parts_below(),))
            roots = {(): None}
        self._check_classes(roots)
        below = self._told_alike(roots) or self._told_below(roots)
        told = (*self._told_parts(parts), *self._told_classes(parts), *below)
        return Arrangement(roots, findings=told)

    # -------------------------------------------------------------------------------------- parts on top

    def _parts(self) -> dict[str, PartName]:
        """The folders at the top that are parts of a given split; empty for a plain folder of classes."""
        folders = self.tree.labelled
        named = parts_of(folders)
        deep = {name: part for name, part in named.items() if folders[name].folders}
        rest = [name for name in folders if name not in named]
        if are_unlike(named) and (rest or "train" not in named.values()) and not self._overlap(named):
            return {}
        if "train" not in deep.values():
            self._refuse_bare_parts(named, deep, rest)
            return {}
        if rest and set(named.values()) == {"train"}:
            inside = {inner for name in deep for inner in folders[name].folders}
            others = [set(folders[name].folders) for name in rest if folders[name].folders]
            plain = any(map(is_plain, deep))
            if not plain and len(others) > 1:  # "train_station", "airport" and "port"
                return {}
            if not plain or (others and not any(inside & names for names in others)):
                raise self._error(
                    "hold folders that are all classes or all parts",
                    f"{_listed(sorted(deep))} may be either. Call it train/ if it is a part, and move the "
                    f"others out. If it is a class, {MANIFEST}.",
                )
        return deep

    def _overlap(self, names: Iterable[str]) -> bool:
        """Whether folders hold folders of the same names."""
        held = Counter(inner for name in names for inner in self.tree.folders[name].folders)
        return any(number > 1 for number in held.values())

    def _refuse_bare_parts(
        self, named: dict[str, PartName], deep: dict[str, PartName], rest: list[str]
    ) -> None:
        """Refuses parts without a training part of class folders. Classes may be called "valid" and "invalid"."""
        kinds = set(named.values())
        listed = _listed(sorted(named))
        if named and (not rest or ("train" in kinds and len(kinds) > 1)):
            if deep:
                raise self._error(f"hold a folder train/ of class folders beside {listed}", "")
            raise self._error(
                "hold class folders within each part, such as train/cats/",
                f"{listed} hold{'s' if len(named) == 1 else ''} {self.many} directly, and nothing says their "
                f"classes. Move those of each class into a folder of their own, or {MANIFEST}.",
            )
        for name in deep:
            alike = [
                other
                for other in rest
                if {*self.tree.folders[name].folders} & {*self.tree.folders[other].folders}
            ]
            if alike:
                raise self._error(
                    f"hold a training part beside {name}/",
                    f"{_listed(alike)} may be it. Call it train/, or {MANIFEST}.",
                )
            if common := sorted(set(rest) & set(self.tree.folders[name].folders)):
                raise self._error(
                    "hold all class folders within parts, or none",
                    f"Both {name}/ and what lies beside it hold {_listed(common)}. "
                    f"Move the other folders into train/ beside {name}/.",
                )
        of_validity = any("valid" in name.lower() for name in rest)  # "valid", "invalid", "valid_signature"
        unclear = [name for name in named if is_plain(name) and named[name] != "train" and len(rest) > 1]
        unclear = [name for name in unclear if not (of_validity and "valid" in name.lower())]
        if unclear:
            raise self._error(
                "hold folders that are all classes or all parts",
                f"{_listed(unclear)} may be either. If it is a part, move it out, or {MANIFEST}. If it is a "
                "class, rename it.",
            )

    def _class_roots(self, parts: dict[str, PartName]) -> Iterator[tuple[Parts, PartName]]:
        """The folders whose folders are classes: the parts, or what alone lies in one (``train/images/cats``).

        A part is none whose images lie beside no class: ``val/images/1.jpg``, where ``train/`` holds classes.
        """
        classes = {
            name
            for part in parts
            if len(self.tree.folders[part].labelled) > 1
            for name in self.tree.folders[part].folders
        }
        trained = {*self._trained(parts)}
        for name, part in parts.items():
            path: Parts = (name,)
            node = self.tree.folders[name]
            while len(node.labelled) == 1:
                [(only, inner)] = node.labelled.items()
                if only in classes or inner.direct or not inner.folders:
                    break
                path, node = (*path, only), inner
            said = all(is_container(inner) or part_of(inner) for inner in node.labelled)
            if not (trained and said and trained.isdisjoint(node.labelled)):
                yield path, part

    def _trained(self, parts: dict[str, PartName]) -> Iterator[str]:
        """The names of the folders in training parts, where these hold several."""
        for name, part in parts.items():
            node = self.tree.folders[name]
            while len(node.labelled) == 1:
                [node] = node.labelled.values()
            if part == "train":
                yield from node.labelled

    # ------------------------------------------------------------------------------------ classes on top

    def _refuse_wrapped(self) -> None:
        """Refuses a folder that holds nothing but one folder of folders, by the name of the one to give."""
        path, node = self.root, self.tree
        while len(node.labelled) == 1:
            [(only, inner)] = node.labelled.items()
            if inner.direct or not inner.folders or part_of(only):
                break
            path, node = path / only, inner
        if path != self.root:
            raise self._error(
                "hold at least two class folders, or train/ and test/",
                f"It holds one, {printable(path.relative_to(self.root).parts[0])!r}. Give the folder within: "
                f"{printable(str(path))}",
            )

    def _parts_below(self) -> bool:
        """Whether every class folder holds parts: ``cats/train``, ``cats/test``."""
        classes = self.tree.folders
        divided = [name for name, node in classes.items() if _is_divided(node)]
        if not divided:
            return False
        first = divided[0]
        if any(part.folders for name in divided for part in classes[name].folders.values()):
            raise self._error(
                "hold one dataset",
                f"Parts of class folders are in {_listed(sorted(divided))}. Give one of them: "
                f"{printable(str(self.root / first))}. If these are the classes, put the parts "
                f"on top, such as train/{first}/.",
            )
        others = [name for name, node in classes.items() if name not in divided or node.direct]
        others += [
            f"{name}/{inner}" for name in divided for inner in classes[name].folders if not part_of(inner)
        ]
        if others:
            raise self._error(
                "hold parts in all class folders, or in none",
                f"{first}/ has some, {_listed(others)} not. Put the parts on top, such as train/{first}/, "
                f"or {MANIFEST}.",
            )
        return True

    # -------------------------------------------------------------------------------------------- classes

    def _check_classes(self, roots: Mapping[Parts, PartName | None]) -> None:
        """Refuses what cannot be classes by their names or by what lies in them."""
        found = {name: node for root in roots for name, node in self._at(root).labelled.items()}
        names = sorted(found)
        if not names:
            raise self._error(
                "hold at least two class folders",
                f"The {self.many} lie directly in the folder. Give those of each class a folder of their own.",
            )
        if (len(names) > 1 and all(map(is_fold, names))) or are_numbered_containers(names):
            raise self._error(
                "hold folders that are classes, or train/, validation/ and test/",
                f"{_listed(names)} are pieces of one dataset. Merge them, or {MANIFEST}.",
            )
        in_parts = () not in roots
        if all(map(is_container, names)) or (in_parts and all(map(part_of, names))):
            raise self._error(
                "hold folders that are named as classes",
                f"The {self.many} lie in {_listed(names)}, and nothing says their classes. Give those of "
                f"each class a folder of their own, or {MANIFEST}.",
            )
        if len(names) < 2:
            raise self._error("hold at least two class folders", f"There is one, {printable(names[0])!r}.")
        for at in roots:
            self._refuse_divided(at)
            self._refuse_repeated(at)

    def _refuse_divided(self, at: Parts) -> None:
        """Refuses parts below class folders."""
        for path, node in self._at(at).walk():
            if _is_divided(node):
                raise self._error(
                    "hold parts above the class folders",
                    f"{printable('/'.join(at + path))} holds {_listed(sorted(node.folders))}. Put the parts "
                    f"on top, such as train/{printable(path[0])}/, or {MANIFEST}.",
                )

    def _refuse_repeated(self, at: Parts) -> None:
        """Refuses a folder beside classes that holds the same classes once more: a copy, or what wraps them."""
        classes = self._at(at).labelled
        for name, node in classes.items():
            inside = {*node.folders} - {name}
            if len(inside) > 1 and inside == {*node.folders} & {*classes} and not node.direct:
                where = printable("/".join((*at, name)))
                raise self._error(
                    "hold every class folder once",
                    f"Both {where}/ and what lies beside it hold {_listed(sorted(inside))}. "
                    f"Move {where}/ out if it is a copy. If it is the dataset, give it alone: "
                    f"{printable(str(self.root.joinpath(*at, name)))}",
                )

    def _at(self, path: Parts) -> _Node:
        node = self.tree
        for name in path:
            node = node.folders[name]
        return node

    # ----------------------------------------------------------------------------------------- findings

    def _told_parts(self, parts: dict[str, PartName]) -> list[Finding]:
        """How folders are read whose names say it less plainly, or of which several are one part."""
        if all(map(is_plain, parts)) and len({*parts.values()}) == len(parts):
            return []
        items = [{"id": printable(name), "reason": part} for name, part in sorted(parts.items())]
        return [Finding("parts_by_name", "note", "Folders are read as parts by their names.", items)]

    def _told_classes(self, parts: dict[str, PartName]) -> list[Finding]:
        """Class folders that are called as parts are: a vehicle may be a train."""
        names = [] if parts else sorted(filter(is_plain, self.tree.labelled))
        text = f"Read as classes, not as parts: {_listed(names)}."
        return [Finding("classes_like_parts", "note", text)] if names else []

    def _told_alike(self, roots: Mapping[Parts, PartName | None]) -> list[Finding]:
        """Class folders that all hold folders of the same names: perhaps these are the classes."""
        if () not in roots or self.tree.direct:
            return []
        nodes = self.tree.labelled
        within = [{key_of(name) for name in node.folders} for node in nodes.values()]
        common = set.intersection(*within)
        if (
            len(common) < 2
            or any(map(is_container, common))
            or any(node.direct for node in nodes.values())
            or any(len(names) > 2 * len(common) for names in within)
            or _are_numbered(common)
        ):
            return []
        first = min(nodes)
        shared = sorted(printable(name) for name in nodes[first].folders if key_of(name) in common)
        text = (
            f"All {len(nodes):,} class folders hold folders of the same names ({', '.join(shared[:5])}). "
            f"If those are the classes, give one folder: {printable(str(self.root / first))}. "
            f"If {_listed(sorted(nodes))} are parts, call them train, validation and test."
        )
        return [Finding("folders_alike", "validity", text)]

    def _told_below(self, roots: Mapping[Parts, PartName | None]) -> list[Finding]:
        """Class folders that hold several folders each and nothing else: perhaps these are the classes."""
        nodes = {(*root, name): node for root in roots for name, node in self._at(root).labelled.items()}
        if any(
            node.direct or len(node.folders) < 2 or _are_numbered(node.folders) for node in nodes.values()
        ):
            return []
        first = min(nodes)
        text = (
            f"{self.many.capitalize()} in folders within class folders are of the class above: "
            f"{printable('/'.join(first))}/ holds {_listed(sorted(nodes[first].folders))}. "
            "If these are the classes, move them up."
        )
        return [Finding("folders_below_classes", "note", text)]

    def _error(self, expected: str, remedy: str) -> RequestError:
        return RequestError("dataset", str(self.root), expected, remedy)


def _read_as_parts_below() -> Finding:
    text = "Every class folder holds parts, which are read as given: cats/train, cats/test and so on."
    return Finding("parts_below", "note", text)


def _is_divided(node: _Node) -> bool:
    """Whether the folders in a folder are a training part and others."""
    kinds = {part_of(name) for name in node.folders} - {None}
    return "train" in kinds and len(kinds) > 1


def _are_numbered(names: Collection[str]) -> bool:
    """Whether names differ mostly in numbers, as those of sessions do."""
    return len({re.sub(r"\d+", "", name) for name in names}) <= len(names) / 2


def _listed(names: Iterable[str], limit: int = 4) -> str:
    shown = [f"{printable(name)}/" for name in names]
    few, more = shown[:limit], len(shown) - limit
    if more > 0:
        return f"{', '.join(few)} and {more:,} more"
    return " and ".join(filter(None, [", ".join(few[:-1]), few[-1]])) if few else "none"
