"""The page: what it says, that it is self-contained, and that names stay text."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import fake
import pytest

import reports.html
from bench.modalities.image.modality import Image
from bench.modalities.nouns import Noun
from bench.records import Record
from reports.html import render
from reports.questions.cost import cost_table
from reports.questions.overfitting import gaps_table
from reports.questions.summary import summary_tables
from reports.tables import curves_frame, results_frame

VOID = {"meta", "br", "link", "img", "input", "hr", "col"}


class Page(HTMLParser):
    """The page's elements and text; fails on tags that do not nest."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(self.source)
        assert not self._open
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def _page(directory: Path, records: list[Record], info: dict[str, Any] | None = None, **more: Any) -> Page:
    plan = more.get("plan", fake.plan_toml(records) if records else "")
    return Page(render(records, fake.run_info(records) if info is None else info, plan, directory))


def test_everything_is_written(tmp_path: Path) -> None:
    records = fake.records()
    fake.write_predictions(records, tmp_path)
    page = _page(tmp_path, records)
    assert (tmp_path / "results.csv").exists()
    names = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert names == {"accuracy", "cost", "curves", "confusion", "classes", "calibration"}
    assert names == {path.stem for path in (tmp_path / "figures").glob("*.csv")}
    assert "full fine-tuning has the highest mean: 80." in page.text.lower()
    assert "clothing · 3,409 labels · 372 test images · 3 seeds · MobileNet:alpha=0.25" in page.text
    assert "tensorflow" in page.text
    assert "Some CPU" in page.text
    assert 'backbones = [ "MobileNet:alpha=0.25", ]' in page.text
    assert f"python -m bench run {tmp_path}/plan.toml" in page.text
    assert "train/hat/broken.jpg" in page.text
    assert not list(tmp_path.rglob(".tmp-*"))


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    records = fake.records(seeds=2)
    first = _page(tmp_path, records).source
    assert _page(tmp_path, records[::-1]).source.replace("\n", "") != ""
    assert _page(tmp_path, records).source == first


def test_the_page_needs_nobody(tmp_path: Path) -> None:
    page = _page(tmp_path, fake.records())
    (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    (script,) = re.findall(r"<script>(.*?)</script>", page.source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    for tag in ("a", "use"):
        links = [attributes.get("href") or "#" for attributes in page.all(tag)]
        assert all(link.startswith(("#", "figures/")) for link in links)
        assert all((tmp_path / link).is_file() for link in links if not link.startswith("#"))
    assert not page.all("link")
    assert not page.all("img")
    assert not [a for _, attributes in page.elements for a in attributes if a.startswith("on")]
    assert not re.search(r"url\((?!#)|@import|https?://", page.source)


def test_the_page_is_accessible_in_structure(tmp_path: Path) -> None:
    page = _page(tmp_path, fake.records(backbones=("A", "B"), seeds=2))
    assert page.all("html")[0]["lang"] == "en"
    for tag in ("main", "header", "nav", "footer", "h1"):
        assert len(page.all(tag)) == 1
    assert all("scope" in attributes for attributes in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    for svg in page.all("svg"):
        assert svg.get("aria-hidden") == "true" or (svg["role"] == "img" and svg["aria-label"])
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {a["href"] for a in page.all("a") if str(a["href"]).startswith("#")}
    assert targets <= {f"#{name}" for name in ids}
    assert all(a.get("tabindex") == "0" for _, a in page.elements if "scroll" in str(a.get("class")).split())


def test_names_stay_text(tmp_path: Path) -> None:
    name = fake.HOSTILE
    records = fake.records(
        datasets=(name,), backbones=(name,), strategies=("scratch", "majority", name, "=cmd")
    )
    fake.fail(records[0], message=name)
    records[1].warnings.append(name)
    info = fake.run_info(records)
    for content in info["datasets"].values():
        content["class_names"] = [name] * 10
        content["findings"] = [{"kind": "unreadable", "text": name, "examples": [name]}]
    info["command"] = info["notes"][0] = name
    page = _page(tmp_path, records, info, plan=f"# {name}\nseeds = 'no'")
    assert len(page.all("script")) == 1
    assert "49" not in re.findall(r"\{\{.*?\}\}", page.text)
    assert "{{ 7*7 }}" in page.text
    assert "<script>alert(1)</script>" in page.text  # parsed back from what was escaped
    assert "$x_1$" in page.text or "$x 1$" in page.text
    assert "\x00" not in page.source
    assert "\x1b" not in page.source


def test_two_seeds_are_provisional_and_why(tmp_path: Path) -> None:
    page = _page(tmp_path, fake.records(seeds=2))
    assert "Provisionally, use full fine-tuning: 80." in page.text
    assert "2 seeds cannot tell a difference from chance: a comparison needs 3." in page.text
    assert "Only 2 seeds" in page.text
    assert "better than" not in page.text


def test_a_clear_answer(tmp_path: Path) -> None:
    def spoil(record: Record) -> None:
        if record.cell["strategy"] == "full_finetune":
            record.metrics["accuracy"] = 0.95

    page = _page(tmp_path, fake.records(spoil=spoil, test=5000))
    assert "Use full fine-tuning: 95.0% of new images correct" in page.text
    assert "It is the best of the 4 tried (95% confidence)." in page.text


def test_a_tie_takes_the_cheaper(tmp_path: Path) -> None:
    def spoil(record: Record) -> None:
        if record.cell["strategy"] in ("full_finetune", "feature_extraction"):
            record.metrics["accuracy"] = 0.9 + 0.0002 * (record.cell["strategy"] == "full_finetune")

    page = _page(
        tmp_path,
        fake.records(spoil=spoil, test=100_000, strategies=fake.STRATEGIES[:2] + fake.STRATEGIES[3:]),
    )
    assert re.search(
        r"Use feature extraction: 90\.0% of new images correct It gives up at most 0\.[1-9] points", page.text
    )


def test_warnings_come_before_figures(tmp_path: Path) -> None:
    def spoil(record: Record) -> None:
        if record.cell["strategy"] == "scratch":
            record.metrics["accuracy"] = 0.1
        if record.cell["strategy"] == "full_finetune" and record.cell["seed"] == 1:
            fake.fail(record, "timeout", "took longer than 3600 s")
        if record.trials:
            record.trials[0]["status"] = "diverged"

    records = fake.records(spoil=spoil)
    info = fake.run_info(records) | {"cells": [*(r.cell_id for r in records), "0" * 16]}
    text = _page(tmp_path, records, info).text
    for words in (
        "3 cells have no result: 3 ran out of time",
        "1 planned cell was not run yet",
        "Training from scratch did not beat the majority class with 341, 1,125 and 3,409 labels",
        "trials diverged",
        "2 of 372 test images (0.5%) with the same pixels",
        "train/hat/broken.jpg: truncated",
    ):
        assert text.index(words) < text.index("Test accuracy against labelled images")
    assert "took longer than 3600 s" in text


def test_images_that_were_too_small_are_told_beside_the_verdict(tmp_path: Path) -> None:
    """Where the pixels themselves lead, too: their lead may be the network's loss."""

    def spoil(record: Record) -> None:
        record.cell["examples"]["image_size"] = 48
        if record.cell["strategy"] == "nearest_pixel":
            record.cell |= {"backbone": "", "weights": ""}
            record.metrics["accuracy"] = 0.95
        if record.cell["backbone"]:
            record.feature_map = [1, 1] if record.cell["backbone"] == "MobileNet" else [2, 2]

    given: dict[str, Any] = {"backbones": ("MobileNet", "ResNet50"), "seeds": 3, "spoil": spoil}
    text = _page(tmp_path, fake.records(strategies=("nearest_pixel", "feature_extraction"), **given)).text
    warning = "caution MobileNet: at 48 px, the last feature map is only 1 x 1."
    assert text.index("nearest pixels") < text.index(warning)
    assert text.index("--image-size 64") < text.index("Test accuracy against labelled images")
    # Training from scratch has no features to lose.
    text = _page(tmp_path, fake.records(strategies=("scratch",), **given)).text
    assert "feature map" not in text


def test_what_touches_validity_comes_first_and_is_escaped(tmp_path: Path) -> None:
    records = fake.records(spoil=lambda record: fake.fail(record) if record.cell["seed"] else None)
    info = fake.run_info(records)
    (content,) = info["datasets"].values()
    content["findings"] = [
        {
            "kind": "identical_across_labels",
            "text": f"2 pictures {fake.HOSTILE}",
            "examples": [fake.HOSTILE] * 3,
        }
    ]
    page = _page(tmp_path, records, info)
    alerts = page.source[page.source.index('<ul class="alerts">') :]
    assert alerts.index("2 pictures") < alerts.index("cells have no result")
    assert alerts.startswith('<ul class="alerts">\n<li class="problem">')
    assert alerts[: alerts.index("cells have no result")].count("&lt;script&gt;") == 4
    assert len(page.all("script")) == 1


def test_planned_cells_that_are_missing_are_named(tmp_path: Path) -> None:
    records = fake.records()
    plan = fake.plan_toml(records)
    rest = [r for r in records if not (r.cell["strategy"] == "scratch" and r.cell["seed"] > 0)]
    text = _page(tmp_path, rest, plan=plan).text
    assert "6 planned cells were not run yet" in text
    assert "training from scratch at 10%: seeds 1 and 2" in text


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], "There is no answer yet"),
        (fake.records(strategies=("majority",)), "that is the floor, not an answer"),
        (fake.records(spoil=fake.fail), "No cell of this dataset has a result"),
        (fake.records(seeds=1, fractions=(0.1,)), "Provisionally"),
        (
            fake.records(strategies=("scratch",)),
            "There is nothing to compare it with.",
        ),
        (fake.records(spoil=lambda r: fake.fail(r, "skipped", "no weights")), "no weights (9 cells)"),
    ],
    ids=["no record", "majority", "all failed", "one seed and fraction", "alone", "skipped"],
)
def test_whatever_there_is_makes_a_page(records: list[Record], expected: str, tmp_path: Path) -> None:
    assert expected in _page(tmp_path, records, {}, plan="not = [toml").text


def test_a_thousand_records(tmp_path: Path) -> None:
    records = fake.records(
        datasets=tuple("abcd"),
        backbones=tuple("vwxyz"),
        fractions=(0.05, 0.1, 0.2, 0.4, 1.0),
        seeds=2,
        points=20,
    )
    page = render(records, fake.run_info(records), fake.plan_toml(records), tmp_path)
    assert page.stat().st_size < 8_000_000


def test_it_says_whether_numbers_come_out_the_same_again(tmp_path: Path) -> None:
    def torch(record: Record) -> None:
        record.cell["backend"] = "torch"

    exact = "the same numbers to the last bit"
    for name, spoil, hardware, expected in (
        ("a", None, {}, True),
        ("b", torch, {"os": "Linux-6"}, True),
        ("d", torch, {"os": "macOS-15"}, False),
        ("c", None, {"gpu": ["H100"]}, False),
    ):
        (tmp_path / name).mkdir()
        page = render(
            fake.records(seeds=1, spoil=spoil), {"hardware": hardware}, "", tmp_path / name
        ).read_text()
        assert (exact in page) == expected
        assert ("does not promise the order" in page) != expected


def test_text_in_figures_can_be_read_in_both_colour_schemes() -> None:
    """axe-core does not look at text in SVG. WCAG 2.1, 1.4.3: a contrast of 4.5, also on the confusion matrix."""
    style = (Path(reports.html.__file__).parent / "templates" / "page.css").read_text()
    schemes = [
        dict(re.findall(r"--(\w+): (#\w{6})", part)) for part in style.split("prefers-color-scheme")[:2]
    ]

    def channels(colour: str) -> list[float]:
        return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]

    def luminance(rgb: list[float]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(first: list[float], second: list[float]) -> float:
        low, high = sorted([luminance(first), luminance(second)])
        return (high + 0.05) / (low + 0.05)

    assert len(schemes) == 2
    for scheme in schemes:
        ink, muted, paper = (channels(scheme[name]) for name in ("ink", "muted", "paper"))
        assert contrast(ink, paper) >= 7
        assert contrast(muted, paper) >= 4.5
        for share in (0.1, 0.5, 1.0):  # a cell of the confusion matrix
            alpha = 0.6 * share**0.5
            cell = [alpha * c + (1 - alpha) * p for c, p in zip(channels("#0072B2"), paper, strict=True)]
            assert contrast(ink, cell) >= 4.5


def test_every_table_of_results_comes_with_a_conclusion(tmp_path: Path) -> None:
    records = fake.records()
    fake.write_predictions(records, tmp_path)
    page = _page(tmp_path, records)
    for said in (
        "Yes: use partial fine-tuning with 341 and 1,125 labels, and full fine-tuning with 3,409 labels",
        "Faster to the plateau of training from scratch: feature extraction",
        "points above feature extraction, the cheapest to train. It takes",
        "times as long (",
        "Highest mean: partial fine-tuning in 2 and full fine-tuning in 1 of 3 columns. Seeds scatter most for",
    ):
        assert said in page.text, said


def test_the_conclusion_on_costs() -> None:
    (said,) = cost_table(results_frame(fake.records()), False, 3.6).conclusions
    assert "of money against" in said
    (alone,) = cost_table(results_frame(fake.records(strategies=("scratch",))), False, 0).conclusions
    assert "the only configuration with results" in alone
    both = cost_table(results_frame(fake.records(datasets=("a", "b"))), True, 0).conclusions
    assert [text[:3] for text in both] == ["a: ", "b: "]

    def cheap_is_best(record: Record) -> None:
        record.metrics["accuracy"] = 0.9 if record.cell["strategy"] == "feature_extraction" else 0.5

    (said,) = cost_table(results_frame(fake.records(spoil=cheap_is_best)), False, 0).conclusions
    assert said.startswith("Feature extraction is the cheapest to train and has the highest mean (90.")


def test_a_validation_loss_that_has_risen_asks_for_less_training() -> None:
    """Of an old run that stopped early, only where it did not stop."""

    def risen(record: Record) -> None:
        if record.cell["strategy"] in ("full_finetune", "partial_finetune"):
            epochs = [p for p in record.curves if p["run"] == "search" and p["stage"] == "finetune"]
            for point in epochs:
                point["val_loss"] = 1.0 + 0.2 * abs(point["epoch"] - 2)
            record.epochs = 2 if record.cell["strategy"] == "full_finetune" else epochs[-1]["epoch"]

    records = fake.records(spoil=risen)
    said = gaps_table(results_frame(records), curves_frame(records), False).conclusions[1:]
    assert said[0].startswith(
        "After its best epoch the validation loss rose by more than a tenth: full fine-tuning. "
    )
    assert said[1].startswith(
        "The validation loss ended more than a tenth above its lowest: partial fine-tuning. A shorter training"
    )


def test_what_is_untrained_or_of_the_source_is_no_lowest_validation_loss() -> None:
    def least_at_first(record: Record) -> None:
        for point in record.curves:
            if point["run"] == "search":
                point["val_loss"] = 1.0 if point["epoch"] == 0 else 2.0
        if record.cell["strategy"] == "full_finetune":
            record.n = 0

    records = fake.records(spoil=least_at_first, strategies=("scratch", "full_finetune"))
    assert len(gaps_table(results_frame(records), curves_frame(records), False).conclusions) == 1


def test_who_lost_seeds_does_not_lead_in_a_conclusion() -> None:
    def spoil(record: Record) -> None:
        if record.cell["strategy"] == "full_finetune":
            record.metrics["accuracy"] = 0.95
            if record.cell["seed"]:
                fake.fail(record)

    results = results_frame(fake.records(spoil=spoil))
    (table,) = summary_tables(results)
    assert table.conclusion.startswith(
        "Highest mean among those with all seeds: partial fine-tuning in 3 of 3"
    )
    assert cost_table(results, False, 0).conclusions[0].startswith("Partial fine-tuning has")


def test_a_page_calls_examples_by_their_noun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "noun", Noun("clip", "clips"))
    records = fake.records(backbones=("A", "B"))
    fake.write_predictions(records, tmp_path)
    page = render(records, {}, "", tmp_path).read_text()
    shown = re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)
    shown = shown.replace(Image().described(records[0].cell["examples"]), "")
    assert "ms per clip" in shown
    assert not re.search(r"\bimages?\b|an clip", shown, re.IGNORECASE)
