"""How large the rooms are: lines by package, the longest modules and functions, as JSON.

    python tests/benchmarks/structure.py [CHECKOUT]

``code`` counts lines that are neither blank, nor comments, nor docstrings, nor imports.
"""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGES = ("bench", "strategies", "reports")
MOST = 10


def main(root: Path) -> dict[str, Any]:
    lines: Counter[str] = Counter()
    code: Counter[str] = Counter()
    modules: dict[str, int] = {}
    functions: dict[str, int] = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            tree = ast.parse(text)
            name = str(path.relative_to(root))
            modules[name] = len(text.splitlines())
            lines[package] += modules[name]
            code[package] += _code(text, tree)
            functions |= {f"{name}:{found}": length for found, length in _functions(tree)}
    return {
        "lines": dict(lines),
        "code": dict(code),
        "modules": len(modules),
        "functions": len(functions),
        "longest modules": dict(Counter(modules).most_common(MOST)),
        "longest functions": dict(Counter(functions).most_common(MOST)),
        "modules over 400 lines": sum(length > 400 for length in modules.values()),
        "functions over 50 lines": sum(length > 50 for length in functions.values()),
    }


def _functions(node: ast.AST, inside: str = "") -> Iterator[tuple[str, int]]:
    """Functions with their lengths without their docstrings; those inside of others count as part of them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{inside}{child.name}.")
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert child.end_lineno is not None
            yield f"{inside}{child.name}", child.end_lineno - child.lineno + 1 - len(_docstring(child))


def _docstring(node: ast.AST) -> range:
    """The lines of a docstring."""
    body = getattr(node, "body", [])
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        return range(body[0].lineno, (body[0].end_lineno or 0) + 1)
    return range(0)


def _code(text: str, tree: ast.Module) -> int:
    """Lines of code."""
    apart: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)) or (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            apart |= set(range(node.lineno, (node.end_lineno or 0) + 1))
    rest = enumerate(text.splitlines(), 1)
    return sum(bool(line.strip()) and not line.strip().startswith("#") and i not in apart for i, line in rest)


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")), indent=1))
