"""Child program: fetches one ``keras:``, ``tfds:`` or ``hf:`` dataset and writes it as plain files.

    python fetch.py SPEC FOLDER

It is run as a file and imports nothing of ours, so that it works from any folder, installed or not. Writes
``data.npz`` (arrays), ``manifest.csv`` with ``images/`` (encoded images, of any sizes) or ``texts.csv``. Exit
code 3 means that the request is wrong; the last line on stderr is then ``EXPECTED|REMEDY``.
"""

from __future__ import annotations

import csv
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

ARRAYS = "data.npz"
MANIFEST = "manifest.csv"
TEXTS = "texts.csv"
REFUSED = 3

STALLED_SECONDS = 60
"""A download that receives nothing for so long is given up; Keras itself would wait for ever."""

NAMES = {
    "fashion_mnist": "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot",
    "cifar10": "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck",
}
"""Names of the classes, where the data have numbers only."""


def fetch_keras(name: str, folder: Path) -> None:
    """Writes one of ``keras.datasets`` as arrays."""
    import numpy as np
    from keras import datasets

    (x, y), (x_test, y_test) = getattr(datasets, name).load_data()
    with (folder / ARRAYS).open("wb") as file:
        names = np.array(NAMES[name].split(",") if name in NAMES else [], str)
        np.savez(file, x=x, y=y.reshape(-1), x_test=x_test, y_test=y_test.reshape(-1), class_names=names)


def fetch_tfds(name: str, folder: Path) -> None:
    """Writes a classification dataset of TensorFlow Datasets as its encoded images and a manifest."""
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        refuse("the package tensorflow-datasets", f'{error}. Run: pip install "transfer-bench[tfds]"')
    try:
        builder = tfds.builder(name)
    except tfds.core.registered.DatasetNotFoundError as error:
        lines = [line.strip() for line in str(error).splitlines() if "Did you mean" in line]
        refuse("the name of a dataset of TensorFlow Datasets", " ".join(lines))
    keys: tuple[object, ...] = builder.info.supervised_keys or ()
    features = builder.info.features
    if len(keys) != 2 or not all(isinstance(key, str) for key in keys):
        refuse("a dataset for image classification", "This one has no single image and label.")
    image, label = keys
    if not isinstance(features[image], tfds.features.Image) or not isinstance(
        features[label], tfds.features.ClassLabel
    ):
        refuse("a dataset for image classification", "Its examples are not an image and a class.")
    builder.download_and_prepare()
    (folder / "images").mkdir()
    with (folder / MANIFEST).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "split"])
        for split in sorted(set(builder.info.splits) & {"train", "validation", "test"}):
            data = builder.as_dataset(split=split, decoders={image: tfds.decode.SkipDecoding()})
            for i, example in enumerate(tfds.as_numpy(data)):
                number = int(example[label])
                if number < 0:  # a test part whose labels were never published
                    continue
                path = f"images/{split}-{i:06d}"
                (folder / path).write_bytes(example[image])
                table.writerow([path, features[label].int2str(number), split])


TEXT_NAMES = (
    "text",
    "sentence",
    "content",
    "review",
    "comment",
    "tweet",
    "question",
    "utterance",
    "document",
)
LABEL_NAMES = ("label", "intent", "sentiment", "class", "category", "emotion", "topic", "coarse_label")


def fetch_hf(name: str, folder: Path) -> None:
    """Writes a dataset of texts and classes of the Hugging Face hub as a table. No code of the hub's is run."""
    try:
        import datasets
    except ImportError as error:
        refuse("the package datasets", f"{error}. Run: pip install 'transfer-bench[hub]'")
    name, _, config = name.partition(":")
    try:
        found = datasets.load_dataset(name, config or None)
    except datasets.exceptions.DatasetNotFoundError as error:
        refuse("the name of a dataset on the Hugging Face hub", " ".join(str(error).split()))
    except ValueError as error:
        if "onfig" not in str(error):
            raise
        refuse("hf:NAME:CONFIG, with one of its configurations", " ".join(str(error).split()))
    parts = [part for part in ("train", "validation", "test") if part in found] or list(found)[:1]
    features = found[parts[0]].features
    text = _column(
        features, TEXT_NAMES, lambda f: getattr(f, "dtype", "") in ("string", "large_string"), "text"
    )
    rest = {key: feature for key, feature in features.items() if key != text}
    label = _column(rest, LABEL_NAMES, lambda f: isinstance(f, datasets.ClassLabel), "label")
    with (folder / TEXTS).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["text", "label", "split"])
        for part in parts:
            for row in found[part]:
                value = row[label]
                if value is None or value == -1:  # a test part whose labels were never published
                    continue
                named = hasattr(features[label], "int2str")
                table.writerow([row[text], features[label].int2str(value) if named else value, part])


def _column(features: dict[str, Any], names: tuple[str, ...], fits: Callable[[Any], bool], what: str) -> str:
    """The column that holds the texts, or the labels: by its name, or because no other may."""
    found = [name for name in names if name in features][:1]
    found = found or [name for name, feature in features.items() if fits(feature)]
    if len(found) != 1:
        refuse(
            f"a dataset with one column of {what}s",
            f"It has the columns {', '.join(features)}. Save it as a table with the columns text,label,split, and "
            "give that file.",
        )
    return found[0]


def refuse(expected: str, remedy: str) -> NoReturn:
    """Ends the program: the request is wrong."""
    print(f"{expected}|{remedy}".replace("\n", " "), file=sys.stderr)
    raise SystemExit(REFUSED)


def main(spec: str, folder: Path) -> None:
    socket.setdefaulttimeout(STALLED_SECONDS)
    kind, _, name = spec.partition(":")
    if kind == "keras":
        fetch_keras(name, folder)
    elif kind == "hf":
        fetch_hf(name, folder)
    else:
        fetch_tfds(name, folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
