"""How it was measured: the protocol, the data, versions and hardware, the plan."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

from bench.modalities.groups import GroupCounts
from bench.modalities.registry import modality
from bench.records import ACCURACY, STEPS_SINCE
from reports import words
from reports.provenance import method_section
from reports.questions.adaptation import source_lines
from reports.questions.auxiliary import method_lines
from reports.results import Results
from reports.sections import Section

Z95 = NormalDist().inv_cdf(0.975)
"""Standard errors in half a 95% interval."""


def section(run: Results) -> Section:
    """The protocol, companions of the target, and the settings of this run."""
    lines = [
        *_protocol(run),
        *_weighing(run),
        *_groups(run),
        *source_lines(run.run_info, run.noun),
        *method_lines(run.run_info, run.noun),
    ]
    if run.records:
        lines += [_repeated(run), _settings(run)]
    return method_section(run, lines)


def _protocol(run: Results) -> list[str]:
    """The protocol in plain words."""
    one, many = run.noun.one, run.noun.many
    return [
        f"Test {many}: a given test part, or one fifth of the data. It is drawn once and the same for every "
        "strategy, label count and seed. No strategy sees it. Each cell predicts it once, at its very end.",
        f"Labelled {many}: the rest is the pool. Each seed draws its own share of it by class. The smaller "
        f"shares of a seed lie inside its larger ones. A fifth of a share are validation {many} for tuning. So the "
        "label counts here are all the labels that a strategy ever used.",
        *_tuning(run),
        "Time counts tuning and the final training of one cell. It includes stored features, as if cells shared "
        f"nothing. Latency: one thread, one {one} at a time, warm, median.",
        f"Intervals cover new labelled subsets, new initialisations and new test {many}. With all labels in "
        "use, seeds differ in validation sets and initialisation only. Comparisons are paired on seeds and test "
        f"{many} and corrected for the number of pairs (Holm). An "
        "interval has the level at which its difference was tested, 95% at least. Few seeds say little about the "
        f"scatter of one pair. So two degrees of freedom are borrowed from all pairs. Test {many} of "
        "one group count as one draw. Bands in figures cover seeds only and are drawn from three seeds on.",
        "The highest of several accuracies is too high, because it was chosen for that. A parametric bootstrap "
        "estimates by how much. In the answer, its interval reaches so much further down. While a planned "
        "candidate has no result, nothing is called the best of all.",
        "The answer compares each candidate with the best (multiple comparisons with the best, Hsu 1996). With "
        "95% confidence all of its bounds hold together. The 5% are shared out over the numbers of seeds at which "
        "the run looks. These are declared beforehand, so claims hold whenever it stops.",
        f"A bound within {words.points(run.region)} points decides. In other comparisons, an interval within "
        f"±{words.points(run.region)} points counts as none (tied). One that excludes zero is a difference. "
        "All else is undecided.",
    ]


def _weighing(run: Results) -> list[str]:
    """How another metric than accuracy decides, and how classes weigh in training, where that is not as usual."""
    many, found = run.noun.many, []
    if run.many_labels:
        return [_of_many_labels(run)]
    if run.metric != ACCURACY:
        name = words.capital(words.metric_name(run.metric))
        found.append(
            f"{name} decides: verdicts, label curves and recommendations are about it. Trials and epochs are "
            "chosen by a log loss in which each class counts the same. Intervals rest on what each test "
            f"{run.noun.one} adds to the metric (infinitesimal jackknife). A few made-up {many} of the "
            "rarest class keep them from being too narrow. Learning curves over training, calibration and "
            "overfitting show accuracy all the same."
        )
    if any(record.cell["class_weight"] == "balanced" for record in run.records):
        found.append(
            "Class weights: in training losses and in votes of neighbours, all classes that occur among the labels "
            f"count the same, however many {many} they have. The majority class stays the most frequent one."
        )
    return found


def _of_many_labels(run: Results) -> str:
    """How any number of labels for each example is learned and scored."""
    name, one = words.metric_name(run.metric), run.noun.one
    counted = (
        "It takes all yes-or-no answers together."
        if run.metric == "micro_f1"
        else "It is a mean over the labels that have a positive test example, each with the same weight."
    )
    return (
        f"Each {one} has any number of labels. The network gives each label a probability of its own (sigmoid) and "
        f"is trained by binary cross-entropy, without label smoothing. {words.capital(name)} decides. {counted} "
        "F1 and right answers are at a threshold of 0.5, which is fixed. Trials are chosen by the cross-entropy on "
        f"the validation set. Intervals rest on what each test {one} adds to the metric (infinitesimal jackknife). "
        "Splits keep every label in proportion (iterative stratification). The majority class stands for the "
        "frequency of each label."
    )


def _groups(run: Results) -> list[str]:
    """How the groups of each dataset are divided, and what they leave of the test set's size."""
    found = []
    largest = {decision.dataset: decision for decision in run.decisions}
    for about in run.run_info.get("datasets", {}).values():
        if (counts := GroupCounts.read(about.get("groups"))) is None:
            continue
        name = words.clean(about.get("name", "dataset"), 40)
        text = " ".join(words.clean(line, 400) for line in counts.sentences(run.noun))
        decision = largest.get(about.get("name", ""))
        if decision is not None and run.metric == ACCURACY and 0 < decision.margin < math.inf:
            share = decision.leader.value
            worth = min(share * (1 - share) * (Z95 / decision.margin) ** 2, counts.n_test)
            text += f" For the strategy that leads, it is {words.count(worth)}."
        found.append(f"{name}: {text}")
    return found


LENGTH = (
    "Length: every stage is trained to its end. With few labels a strategy trains for a number of optimizer "
    "steps of its own, with many for the given number of epochs."
)
"""How long a strategy trains."""


def _tuning(run: Results) -> list[str]:
    """How trials were chosen, and how long they trained."""
    many = run.noun.many
    hyperband = any(record.cell.get("tuning", {}).get("algorithm") == "hyperband" for record in run.records)
    old = any(record.cell["protocol_version"] < STEPS_SINCE for record in run.records)
    spread = "number of epochs" if old else "share of its own length, spread over trials"
    budget = spread if hyperband else "number of trials"
    equal = f"Tuning: every strategy gets the same {budget}, the first trial with its default settings. "
    searched = any(record.cell.get("tuning", {}).get("trials") != 0 for record in run.records)
    if not searched:
        equal = "Tuning: none. Every strategy has its default settings, and trains once on all labelled "
        return [f"{equal}{many} of the cell.", LENGTH]
    if old:
        return [
            f"{equal}The best on validation {many} is trained again on all labelled {many} of the cell, for as "
            "many epochs as it kept. Only that model is tested. Validation scores of trials are optimistic and "
            "not reported."
        ]
    return [
        f"{equal}The best on validation {many} is chosen. With fewer than 200 of them, it also has to beat the "
        f"default beyond noise. It is trained again on all labelled {many} of the cell. Only that model is "
        "tested. Validation scores of trials are optimistic and not reported.",
        LENGTH,
    ]


def _repeated(run: Results) -> str:
    """Whether the same plan again gives the same numbers."""
    hardware = run.run_info.get("hardware", {})
    backends = sorted({record.cell["backend"] for record in run.records})
    # Of a Mac, PyTorch uses the GPU by itself.
    if hardware.get("gpu") or ("torch" in backends and "macOS" in hardware.get("os", "")):
        return (
            "The same plan again may give numbers that differ in their last digits. Now and then a choice hangs "
            f"on them. {words.listed(backends)} on a GPU does not promise the order in which sums are taken."
        )
    return (
        "The same plan on the same machine gives the same numbers to the last bit, with any number of workers, "
        "resumed or not."
    )


def _search(tuning: dict[str, Any]) -> str:
    trials = tuning.get("trials", "?")
    return f"{trials} trials by {tuning.get('algorithm', '?')} search" if trials else "no search"


def _settings(run: Results) -> str:
    """The settings of this run."""
    cell = run.records[0].cell
    tuning = cell.get("tuning", {})
    head = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in cell.get("head", {}).items())
    return words.clean(
        f"This run: {modality(cell['modality']).described(cell['examples'])}, "
        f"{_search(tuning)}, up to "
        f"{cell['epochs']} epochs, batches of {cell['batch_size']}, {cell['threads']} training "
        f"thread{'s' if cell['threads'] != 1 else ''}, {cell['precision']} on {cell['backend']}, "
        f"head: {head or 'default'}."
    )
