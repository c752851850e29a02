"""What a source has learned and how it was made, for people."""

from __future__ import annotations

from pathlib import Path

from bench.backbones.own import PIXELS, WeightSource
from bench.modalities.nouns import Noun
from bench.modalities.registry import modality
from bench.system.names import titled
from bench.system.templates import Verbatim, fenced, template
from reports import words

TEMPLATES = Path(__file__).parent / "templates"


def verdict(source: WeightSource) -> str:
    """What the source has learned, in words."""
    rival, many = source.rival, _noun(source).many
    quality = (
        f"{words.percent(source.accuracy)} of the {words.count(source.data.n_test)} held-out {many} correctly "
        f"(95% CI {words.percent(source.low)} to {words.percent(source.high)})"
    )
    lead = (
        f"{rival.name}, {words.percent(rival.accuracy)} ({words.points(rival.difference, True)} points; "
        f"{words.points(rival.low, True)} to {words.points(rival.high, True)})"
    )
    if source.learned:
        easy = f" But {PIXELS} is about as good: this dataset asks little of a backbone, and may teach it little."
        return f"It classifies {quality}, more than {lead}.{easy if source.pixels.low <= 0 else ''}"
    return (
        f"Nothing was learned: it classifies {quality}, which is not beyond noise more than {lead}. Do not "
        f"transfer from it. More {many}, more epochs or a larger image_size may help."
    )


def card(source: WeightSource) -> str:
    """The card of a source in Markdown."""
    data, many = source.data, _noun(source).many
    return template(TEMPLATES, "source.md.j2").render(
        title=f"{_text(source.name)}: a source to transfer from",
        sentence=f"{_text(source.backbone)}, trained on {_text(data.name)}.",
        learned=source.learned,
        facts=_facts(source),
        quality=verdict(source),
        n_test=words.count(data.n_test),
        baselines=_compared(source),
        training=_training(source),
        data=[
            f"{_text(data.name)}: {words.count(data.n)} labelled {many} to train on, "
            f"{words.count(data.n_test)} held out: neither tuning nor training has seen them.",
            f"Fingerprint {data.fingerprint}.",
        ],
        classes=", ".join(_text(name) for name in data.class_names),
        limits=_limits(source),
        backbone=fenced(source.backbone),
        folder=fenced(words.clean(source.name, 80)),
    )


def _noun(source: WeightSource) -> Noun:
    return modality(source.modality).noun


def _text(text: str) -> str:
    """A user's text, not too long."""
    return words.clean(text, 80)


def _facts(source: WeightSource) -> list[tuple[str, str]]:
    """What a plan that uses the source has to know."""
    data, many, versions = source.data, _noun(source).many, source.record["provenance"]["versions"]
    packages = ("keras", source.record["cell"]["backend"])
    return [
        ("backbone", _text(source.backbone)),
        (many, f"{source.image_size} x {source.image_size} pixels ({source.resizing})"),
        ("trained on", f"{words.count(data.n)} {many} of {len(data.class_names)} classes"),
        ("accuracy", f"{words.percent(source.accuracy)} on {words.count(data.n_test)} held-out {many}"),
        ("sha256 of its weights", source.weights_sha256),
        ("made", source.created),
        ("made with", ", ".join(f"{name} {versions.get(name, '?')}" for name in packages)),
    ]


def _compared(source: WeightSource) -> list[tuple[str, str, str]]:
    """The source and what it is measured against: name, accuracy, by how much the source is better."""
    return [
        (Verbatim("**this source**"), words.percent(source.accuracy), ""),
        *(
            (
                b.name,
                words.percent(b.accuracy),
                f"{words.points(b.difference, True)} ({words.points(b.low, True)} to {words.points(b.high, True)})",
            )
            for b in source.baselines
        ),
    ]


def _training(source: WeightSource) -> list[str]:
    """How it was trained, from its cell's record."""
    record, cell, many = source.record, source.record["cell"], _noun(source).many
    seen, strategy = cell["examples"], words.strategy_name(cell["strategy"])
    epochs = max(point["epoch"] for point in record["curves"] if point["run"] == "refit")
    return [
        f"From {_start(source) or 'random weights'}, all of it, by the stages of {strategy} with "
        f"{_hyperparameters(source)}.",
        f"First on {words.count(record['n_train'])} {many}, judged by {words.count(record['n_val'])} others "
        f"({words.plural(len(record['trials']), 'trial')}). Then again on all {words.count(record['n'])}, for "
        f"{words.plural(epochs, 'epoch')}, the learning rate falling along a cosine.",
        f"Augmentation {seen['augmentation']}{', mirrored too' if seen['flip'] else ''}, batches of "
        f"{record['batch_size'] or cell['batch_size']}, seed {cell['seed']}.",
        f"It took {words.duration(record['costs']['wall_seconds'])} with "
        f"{words.plural(cell['threads'], 'thread')}.",
    ]


def _hyperparameters(source: WeightSource) -> str:
    found = sorted(source.record["hyperparameters"].items())
    return _text(", ".join(f"{k} = {v:.3g}" if isinstance(v, float) else f"{k} = {v}" for k, v in found))


def _start(source: WeightSource) -> str:
    """The weights that training began with; empty for random ones."""
    if source.start == "none":
        return ""
    return _text(titled("", source.start).strip(" ()") or "ImageNet weights")


def _limits(source: WeightSource) -> list[str]:
    limits = [
        f"It was trained at {source.image_size} pixels; at other sizes it may be worse.",
        f"Its accuracy is that on {_noun(source).many} like the held-out ones. What it brings on another dataset "
        "is for a run to say: transfer may do harm.",
    ]
    if start := _start(source):
        limits.append(f"It began with {start}, whose licence and biases it inherits.")
    return limits
