"""Numbers and names as people read them: the only place where anything is rounded."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from bench.modalities.nouns import Noun
from bench.records import ACCURACY, MULTI_LABEL, SINGLE_LABEL
from bench.system.names import PREFIX

if TYPE_CHECKING:
    from reports.statistics.pairs import Comparison

STRATEGY_NAMES = {
    "scratch": "training from scratch",
    "feature_extraction": "feature extraction",
    "partial_finetune": "partial fine-tuning",
    "full_finetune": "full fine-tuning",
    "knn": "nearest neighbours",
    "nearest_mean": "nearest class mean",
    "logistic": "logistic regression",
    "all_layer_probe": "all-layer probe",
    "plain_finetune": "plain fine-tuning",
    "lp_ft": "LP-FT",
    "gradual_unfreeze": "gradual unfreezing",
    "discriminative_lr": "discriminative rates",
    "l2_sp": "L2-SP",
    "norm_only": "norm-only tuning",
    "bias_only": "bias-only tuning",
    "surgical": "surgical fine-tuning",
    "wise_ft": "WiSE-FT",
    "lora": "LoRA",
    "hyperrule": "fixed rule",
    "source_only": "source only",
    "source_and_target": "source and target",
    "source_then_target": "source, then target",
    "adabn": "AdaBN",
    "deep_coral": "Deep CORAL",
    "mmd": "MMD",
    "dann": "DANN",
    "cycle_gan": "CycleGAN",
    "prototypical": "prototypical networks",
    "siamese": "siamese networks",
    "nearest_pixel": "nearest pixels",
    "tf_idf": "TF-IDF",
    "multi_task": "multi-task learning",
    "majority": "majority class",
}


METRIC_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "auroc": "AUROC",
    "mean_average_precision": "mean average precision",
    "micro_f1": "micro F1",
}

FLOORS: dict[str, str] = {SINGLE_LABEL: "the most frequent class", MULTI_LABEL: "the frequency of each label"}
"""What the strategy ``majority`` always answers with, by task."""

IMAGES = Noun("image", "images")
"""What examples are called where nothing else is said."""


def strategy_name(strategy: str, limit: int = 0) -> str:
    """What a strategy is called in a sentence or a figure; of ``package.module:Class``, the class.

    Args:
        limit: shorten to so many characters: of given hyperparameters the values stay, which tell variants apart;
            0 keeps all.
    """
    name, _, given = strategy.rpartition(":")
    values = given.split(",")
    if not name or not all("=" in value for value in values):
        return clean(STRATEGY_NAMES.get(strategy) or given.replace("_", " "), limit)
    base = strategy_name(name)
    said = f"{base} ({listed([clean(value.replace('=', ' ').replace('_', ' ')) for value in values])})"
    if not limit or len(said) <= limit:
        return said
    short = clean(", ".join(value.partition("=")[2] for value in values), limit - 6)
    room = limit - len(short) - 3
    return f"{_fewer_words(base, room)} ({short})"


def _fewer_words(text: str, limit: int) -> str:
    """Without its last words, so that it has at most so many characters; a first word that is longer is cut."""
    while len(text) > limit and " " in text:
        text = text.rpartition(" ")[0]
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def wrapped(text: str, width: int) -> str:
    """On at most two lines of so many characters, broken between words where it can be."""
    if len(text) <= width:
        return text
    first = _fewer_words(text, width) if " " in text[: width + 1] else text[:width]
    rest = text[len(first.removesuffix("…")) :].strip()
    return f"{first}\n{clean(rest, width)}"


def metric_name(metric: str) -> str:
    """What the metric that decides is called in a sentence: ``balanced accuracy``."""
    return METRIC_NAMES[metric]


def measured(metric: str, value: float) -> str:
    """A value of the metric that decides: ``83.0%`` of accuracy, else ``83.0% balanced accuracy``."""
    return percent(value) if metric == ACCURACY else f"{percent(value)} {metric_name(metric)}"


def scored(metric: str, value: float, examples: str, past: bool = False) -> str:
    """The same as what somebody does: ``classifies 83.0% of new images correctly``, ``reaches 83.0% AUROC on ...``.

    Args:
        metric: that decides.
        value: of it.
        examples: on which, such as ``new images``.
        past: ``classified``, ``reached``.
    """
    if metric == ACCURACY:
        return f"{'classified' if past else 'classifies'} {percent(value)} of {examples} correctly"
    return f"{'reached' if past else 'reaches'} {measured(metric, value)} on {examples}"


def weights_name(weights: str) -> str:
    """What a network begins with, in a sentence: ``the source clothes``. Empty: random weights."""
    if weights in ("", "none"):
        return "random weights"
    if weights == "imagenet":
        return "ImageNet weights"
    kind = "source" if weights.startswith(PREFIX) else "file"
    return f"the {kind} {clean(PurePath(weights.removeprefix(PREFIX)).name, 40)}"


def clean(text: object, limit: int = 0) -> str:
    """One line without control, formatting or unpaired surrogate characters.

    Args:
        limit: shorten to so many characters, with an ellipsis in the middle; 0 keeps all.
    """
    line = " ".join("".join(" " if unicodedata.category(c)[0] == "C" else c for c in str(text)).split())
    if limit and len(line) > limit:
        head = (limit - 1) // 2
        line = f"{line[:head]}…{line[len(line) - (limit - 1 - head) :]}"
    return line


def percent(share: float, digits: int = 1) -> str:
    """``0.6523`` as ``65.2%``; a dash for what is not known."""
    return f"{share * 100:.{digits}f}%" if math.isfinite(share) else "–"


def points(difference: float, sign: bool = False) -> str:
    """A difference of two shares in percentage points: ``0.0132`` as ``1.3``, with ``sign`` as ``+1.3``."""
    text = f"{difference * 100:+.1f}" if sign else f"{difference * 100:.1f}"
    return text.replace("-", "−") if math.isfinite(difference) else "–"


def in_points(difference: float, sign: bool = False) -> str:
    """The same with its unit: ``1.3 points``, ``1 point``."""
    text = points(difference, sign)
    if text.endswith(".0"):
        text = text[:-2]
    return f"{text} point" if text.lstrip("+−") == "1" else f"{text} points"


def raised(bound: float) -> float:
    """A bound as it is told: up to the next tenth of a point, or it would not hold."""
    return math.ceil(bound * 1000 - 1e-6) / 1000 if math.isfinite(bound) else bound


def difference(comparison: Comparison) -> str:
    """A paired difference in points with its interval: ``+2.8, −13.2 to +18.7``; below three seeds without."""
    text = points(comparison.difference, True)
    if math.isfinite(comparison.low):
        text += f", {points(comparison.low, True)} to {points(comparison.high, True)}"
    return text


def fraction_name(fraction: float) -> str:
    """``0.1`` as ``10%``."""
    return f"{round(fraction * 100, 6):g}%"


def count(number: float) -> str:
    """``3409.0`` as ``3,409``."""
    return f"{number:,.0f}" if math.isfinite(number) else "–"


def rounded(number: float) -> str:
    """To two digits that count: ``1,873`` as ``1,900``."""
    digits = 1 - math.floor(math.log10(number)) if number > 0 else 0
    return count(round(number, digits))


def magnitude(number: float) -> str:
    """``2_230_277`` as ``2.23 M``."""
    if not math.isfinite(number):
        return "–"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def duration(seconds: float) -> str:
    """Seconds as ``<0.1 s``, ``0.4 s``, ``34 s``, ``5.2 min`` or ``1.4 h``."""
    if not math.isfinite(seconds):
        return "–"
    if seconds < 0.05:
        return "<0.1 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    number, unit = (seconds / 60, "min") if seconds < 99.5 * 60 else (seconds / 3600, "h")
    return f"{number:.1f} {unit}" if number < 9.95 else f"{number:.0f} {unit}"


def money(seconds: float, price_per_hour: float) -> str:
    """What so many seconds cost at a price an hour, in its currency: ``0.36``."""
    if not math.isfinite(seconds):
        return "–"
    cost = seconds / 3600 * price_per_hour
    return f"{cost:,.2f}" if cost >= 0.995 else f"{cost:.2g}" if cost >= 0.00095 else "<0.001"


def listed(items: Sequence[str], conjunction: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {conjunction} {items[-1]}"


def some(items: Sequence[str], most: int = 6) -> str:
    """The first ``most`` of a list, and how many more there are: ``a, b and 2 more``."""
    more = len(items) - most
    return listed([*items[:most], f"{more} more"] if more > 0 else items)


def brief(items: Sequence[str], room: int = 12) -> str:
    """As many of a list as make a short sentence, one to six, and how many more there are.

    Args:
        room: words that may be spent on it.
    """
    fit, spent = 0, 0
    for item in items[:6]:
        spent += len(item.split())
        if fit and spent > room:
            break
        fit += 1
    return some(items, fit)


def plural(number: int, noun: str, nouns: str = "") -> str:
    """``1 cell``, ``3 cells``."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def sentence(text: str, dataset: str = "") -> str:
    """Begun with a capital, or with what it is about: a dataset is called what its owner calls it."""
    return f"{clean(dataset, 40)}: {text}" if dataset else capital(text)


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
