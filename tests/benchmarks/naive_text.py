"""The loop that people write for texts: KerasHub's "Getting started" and keras-tuner's, put together.

https://keras.io/keras_hub/getting_started/ and https://keras.io/keras_tuner/getting_started/: a ``TextClassifier``
with its preprocessor, a frozen or a free backbone, ``fit``; RandomSearch builds a model a trial; the best
hyperparameters are trained again on training and validation texts together; the test texts are evaluated once.
The texts are given as a shuffled ``tf.data.Dataset``, for KerasHub's ``fit`` does not shuffle arrays.

Run by ``against_naive_text.py``; prints the seconds of its start-up, then one JSON line for each cell.
"""

import argparse
import json
import math
import tempfile
import time
from pathlib import Path

import keras
import keras_hub
import keras_tuner
import numpy as np
import pandas as pd
import psutil
import tensorflow as tf

parser = argparse.ArgumentParser()
parser.add_argument(
    "--subsets", type=Path, required=True, help="<fraction>-<seed>-{train,val}.csv, and test.csv"
)
parser.add_argument("--strategies", nargs="+", required=True)
parser.add_argument("--model", required=True, help="a folder as Hugging Face has them")
parser.add_argument("--max-tokens", type=int, required=True)
parser.add_argument("--trials", type=int, required=True)
parser.add_argument(
    "--lengths", type=json.loads, required=True, help="[steps, batch size] by strategy and fraction"
)
arguments = parser.parse_args()

names = sorted(pd.read_csv(arguments.subsets / "test.csv").label.unique())


def read(name):
    table = pd.read_csv(arguments.subsets / f"{name}.csv")
    return table.text.to_numpy(str), table.label.map(names.index).to_numpy()


def shuffled(texts, labels, batch_size):
    return tf.data.Dataset.from_tensor_slices((texts, labels)).shuffle(len(labels)).batch(batch_size)


test = read("test")
print(json.dumps({"start_up_seconds": time.time() - psutil.Process().create_time()}), flush=True)


def build(strategy):
    def model(hp):
        backbone = keras_hub.models.BertBackbone.from_preset(arguments.model)
        backbone.trainable = strategy != "feature_extraction"
        tokenizer = keras_hub.models.BertTokenizer.from_preset(arguments.model)
        classifier = keras_hub.models.BertTextClassifier(
            backbone=backbone,
            num_classes=len(names),
            preprocessor=keras_hub.models.BertTextClassifierPreprocessor(
                tokenizer, sequence_length=arguments.max_tokens
            ),
        )
        low, high = (1e-4, 1e-2) if strategy == "feature_extraction" else (2e-5, 2e-4)
        classifier.compile(
            optimizer=keras.optimizers.Adam(hp.Float("learning_rate", low, high, sampling="log")),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return classifier

    return model


for strategy in arguments.strategies:
    for path in sorted(arguments.subsets.glob("*-train.csv")):
        start = time.perf_counter()
        fraction, seed, _ = path.stem.split("-")
        keras.utils.set_random_seed(int(seed))
        steps, batch_size = arguments.lengths[strategy][fraction]
        train, val = read(path.stem), read(path.stem.replace("train", "val"))
        epochs = math.ceil(steps / math.ceil(len(train[1]) / batch_size))
        with tempfile.TemporaryDirectory() as project:
            tuner = keras_tuner.RandomSearch(
                build(strategy),
                objective="val_accuracy",
                max_trials=arguments.trials,
                directory=project,
                overwrite=True,
                seed=int(seed),
            )
            tuner.search(shuffled(*train, batch_size), validation_data=val, epochs=epochs, verbose=0)
            best = tuner.oracle.get_best_trials(1)[0]
            model = tuner.hypermodel.build(best.hyperparameters)
            both = [np.concatenate(parts) for parts in zip(train, val, strict=True)]
            epochs = (best.best_step or 0) + 1
            model.fit(shuffled(*both, batch_size), epochs=epochs, verbose=0)
        accuracy = model.evaluate(*test, verbose=0, return_dict=True)["accuracy"]
        row = {"strategy": strategy, "fraction": float(fraction), "seed": int(seed), "accuracy": accuracy}
        print(json.dumps({**row, "epochs": epochs, "seconds": time.perf_counter() - start}), flush=True)
