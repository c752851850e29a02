"""Every column of the tables and every key of a record, with its meaning: ``bench ls columns``.

``results.csv`` has the columns of ``RESULTS``, in that order. They are a promise to users: only ever append.
Nothing here loads pandas.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class Column(NamedTuple):
    """What stands under one name."""

    meaning: str
    kind: Literal["text", "whole", "number"] = "number"


Columns = dict[str, Column]


def text(meaning: str) -> Column:
    """A column of words."""
    return Column(meaning, "text")


def whole(meaning: str) -> Column:
    """A column of whole numbers."""
    return Column(meaning, "whole")


number = Column


def named(columns: Columns, kind: Literal["text", "whole", "number"]) -> frozenset[str]:
    """Returns the names of the columns of one kind."""
    return frozenset(name for name, column in columns.items() if column.kind == kind)


CLASSIFICATION: Columns = {
    "accuracy": number("Share of test examples classified correctly, 0 to 1."),
    "balanced_accuracy": number("Mean of the classes' recalls on the test set, 0 to 1."),
    "macro_f1": number("Mean of the classes' F1 scores on the test set, 0 to 1."),
    "log_loss": number(
        "Mean negative log-likelihood of the true class on the test set, in nats. Lower is better."
    ),
    "ece": number("Expected calibration error on the test set, 15 bins, 0 to 1. Lower is better."),
}
LATER: Columns = {
    "auroc": number(
        "Mean area under the ROC curves, each class against the others, on the test set. 0.5 is chance."
    ),
}
VERIFICATION: Columns = {
    "verification_auc": number(
        "Few-shot: chance that two examples of one class are nearer than two of different classes. 0.5 is chance."
    ),
}
PAIRS: Columns = {
    "verification_eer": number(
        "Few-shot: equal error rate, where pairs of two classes are accepted as often as pairs of one are rejected."
    ),
    "verification_false_accepts": number(
        "Few-shot: share of pairs of two classes that are accepted at the threshold of held-out classes."
    ),
    "verification_false_rejects": number(
        "Few-shot: share of pairs of one class that are rejected at the threshold of held-out classes."
    ),
}
MANY_LABELS: Columns = {
    "mean_average_precision": number(
        "Many labels: mean of the labels' average precisions on the test set, over labels with a positive example."
    ),
    "micro_f1": number("Many labels: F1 score of all yes-or-no answers on the test set together, 0 to 1."),
    "label_accuracy": number(
        "Many labels: share of the yes-or-no answers on the test set that are right, 0 to 1."
    ),
}
METRICS: Columns = {**CLASSIFICATION, **LATER, **VERIFICATION, **PAIRS, **MANY_LABELS}

TOTAL: Columns = {
    "total_seconds": number("Tuning plus refit, in seconds. Stored features that both use count once."),
}
COSTS_EACH: Columns = {
    "tune_seconds": number("Hyperparameter search, in seconds, with the stored features that it uses."),
    "fit_seconds": number("Refit on all labels, in seconds, with the stored features that it uses."),
    "prefix_seconds": number("Stored features of search and refit together, in seconds."),
    "wall_seconds": number("From the start of the cell to its end, in seconds."),
    "inference_ms_per_image": number(
        "Inference time per example, one at a time on one thread, in milliseconds."
    ),
    "params": whole("Parameters of the network."),
    "trainable_params": whole("Parameters that the refit trained."),
    "peak_memory_mb": number("Peak memory of the worker, in MiB. Empty if the cell uses no network."),
}
COSTS: Columns = {**COSTS_EACH, **TOTAL}

RESULTS: Columns = {
    "cell_id": text("The cell: 16 hexadecimal characters, the name of its record in cells/."),
    "status": text("ok, skipped, failed, oom, timeout, killed or crashed."),
    "dataset": text("Name of the dataset, with its fingerprint if two share a name."),
    "backbone": text("Network and its options. Empty if the strategy uses none."),
    "weights": text("imagenet, none, a file or source:DIR. Empty if the strategy uses none."),
    "strategy": text("Name of the strategy, with the hyperparameters that were given."),
    "fraction": number("Share of the labelled pool that was used, 0 to 1."),
    "n": whole("Labelled examples that were used, for training and validation."),
    "n_train": whole("Labelled examples that the search trained on."),
    "n_val": whole("Labelled examples of the validation set."),
    "n_test": whole("Examples of the test set. Few-shot: those of the new classes."),
    "seed": whole("Seed of the repetition, from 0."),
    **CLASSIFICATION,
    "trials": whole("Trials of the hyperparameter search that were run."),
    "epochs": whole("Epochs of the last stage of the chosen trial."),
    **COSTS_EACH,
    "hyperparameters": text("Hyperparameters of the refit, as JSON."),
    "error": text("Why there is no result."),
    **TOTAL,
    "source_dataset": text("Name of the source dataset."),
    "n_source": whole("Labelled examples of the source dataset that the refit used."),
    "auxiliary": text("Auxiliary labels: columns of the manifest, then the auxiliary dataset."),
    "n_auxiliary": whole("Auxiliary labels that the refit used, of all auxiliary tasks together."),
    **LATER,
    "metric": text("The metric that decides: accuracy, balanced_accuracy, macro_f1 or auroc, see metrics."),
    "class_weight": text("How classes weigh in training: none, or balanced (all the same)."),
    "steps": whole("Optimizer steps of the refit's last stage."),
    **MANY_LABELS,
    "task": text("Kind of labels: single_label (one class an example) or multi_label (any number)."),
}

SETTING: Columns = {
    "ways": whole("Classes of an episode."),
    "shots": whole("Labelled examples per class in an episode."),
    "scope": text("Where an episode's classes come from: all, or within one superclass."),
}
ACCURACY: Columns = {
    "accuracy": number("Mean accuracy over the episodes, 0 to 1."),
    "deviation": number("Standard deviation of the accuracy between episodes."),
}
FEW_SHOT: Columns = {
    **{name: RESULTS[name] for name in ("cell_id", "dataset", "backbone", "weights", "strategy", "seed")},
    **SETTING,
    "episodes": whole("Number of episodes."),
    **ACCURACY,
    "by_episodes": number(
        "Half the 95% confidence interval of the accuracy, from the draw of episodes alone."
    ),
    **VERIFICATION,
    **TOTAL,
    **PAIRS,
}

PLACE: Columns = {
    "run": text("search: the chosen trial. refit: the final training."),
    "stage": text("Name of the stage of training."),
    "epoch": whole("Epoch of the stage. 0 is before the first step."),
    "images": whole("Examples seen since the start of the run, over all stages."),
    "seconds": number("Seconds since the start of the run, over all stages."),
}
CURVES: Columns = {
    "cell_id": RESULTS["cell_id"],
    **PLACE,
    "metric": text("The quantity: train_loss, train_accuracy, val_loss or val_accuracy."),
    "value": number("Its value: a loss, or an accuracy from 0 to 1."),
}

RECORD: Columns = {
    "cell_id": text("Hash of everything in cell that can change a number."),
    "cell": text("The request: strategy, data, network, seed and settings."),
    **{
        name: RESULTS[name]
        for name in ("status", "n", "n_train", "n_val", "n_test", "n_source", "n_auxiliary")
    },
    "metrics": text("Scores on the test set: see metrics."),
    "costs": text("Time, size and memory: see costs."),
    "hyperparameters": text("Hyperparameters of the refit."),
    "batch_size": whole("Smaller batch size of a second attempt after the cell ran out of memory."),
    "epochs": RESULTS["epochs"],
    "steps": RESULTS["steps"],
    "trials": text("One entry per trial: see trials."),
    "curves": text("One entry per measured point of training: see curves."),
    "similarity": text("One entry per block of a tuned pretrained network: see similarity."),
    "feature_map": text(
        "Rows and columns of the network's last feature map. Empty if the cell uses no network."
    ),
    "episodes": text("Few-shot, one entry per setting: see episodes."),
    "error": text("Type and message of what went wrong, and the traceback of an exception."),
    "warnings": text("Remarks of the run about this cell."),
    "provenance": text("Versions, commit and hardware that made the record."),
    "predictions_sha256": text("SHA-256 of the file with its predictions. Empty if there is none."),
    "schema_version": whole("Layout of the record."),
}
TRIALS: Columns = {
    "trial": whole("Number of the trial, from 0."),
    "status": text("ok, or diverged if its loss became infinite or not a number."),
    "hyperparameters": text("Hyperparameters of the trial."),
    "length": number("Share of the strategy's own length of training."),
    "chosen": number("Whether the refit has its hyperparameters."),
    "epoch_limit": whole("Epochs that its last stage could take at most. Until protocol version 2."),
    "score": number(
        "Objective of the search: minus val_log_loss, by class if metric is not accuracy. Few-shot: val_accuracy."
    ),
    "val_accuracy": number("Accuracy on the validation set, 0 to 1."),
    "val_class_accuracy": text(
        "Accuracy on the validation set by class. Empty for a class that is not there."
    ),
    "val_log_loss": number("Log loss on the validation set, in nats."),
    "val_threshold": number("Few-shot: squared distance at the equal error rate of the held-out classes."),
    "epochs": whole("Epochs of its last stage."),
    "steps": whole("Optimizer steps of its last stage."),
    "seconds": number("Training time, in seconds, without stored features."),
    "error": text("Why a trial diverged."),
}
POINTS: Columns = {
    **PLACE,
    "train_loss": number("Mean training loss since the previous point."),
    "train_accuracy": number("Training accuracy since the previous point, 0 to 1."),
    "val_loss": number("Log loss on the validation set, in nats."),
    "val_accuracy": number("Accuracy on the validation set, 0 to 1."),
}
SIMILARITY: Columns = {
    "block": text("Name of the block."),
    "depth": number("Share of the layers with weights that lie below its end, 0 to 1."),
    "cka": number(
        "Linear CKA of its output before and after tuning, on up to 256 training examples. 1: unchanged."
    ),
}
EPISODES: Columns = {**SETTING, **ACCURACY}

TABLES: dict[str, Columns] = {
    "results.csv, one row per cell": RESULTS,
    "few_shot.csv, one row per cell and setting": FEW_SHOT,
    "run.curves in Python, one row per point and metric": CURVES,
    "cells/ID.json, the record of a cell": RECORD,
    "metrics of a record": METRICS,
    "costs of a record": COSTS,
    "trials of a record": TRIALS,
    "curves of a record": POINTS,
    "similarity of a record": SIMILARITY,
    "episodes of a record": EPISODES,
}
"""What ``bench ls columns`` shows, in its order."""
