"""The loop that people write: Keras's transfer-learning guide and keras-tuner's "Getting started", put together.

https://keras.io/guides/transfer_learning/ and https://keras.io/keras_tuner/getting_started/: folders are read
with ``image_dataset_from_directory``, cached and prefetched; augmentation layers lie in the model; the frozen
base is called with ``training=False``; RandomSearch builds a model a trial; the best
hyperparameters are trained again on training and validation images together, for as many epochs as the best
trial took; the test set is evaluated once. One process, TensorFlow's own threads, as its user runs it.

Run by ``against_naive.py``; prints the seconds of its start-up, then one JSON line a (strategy, fraction, seed).
"""

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path

import keras
import keras_tuner
import psutil
import tensorflow as tf

parser = argparse.ArgumentParser()
parser.add_argument(
    "--subsets", type=Path, required=True, help="folders <fraction>-<seed>/{train,val}, and test"
)
parser.add_argument("--strategies", nargs="+", required=True)
parser.add_argument("--backbone", required=True)
parser.add_argument("--alpha", type=float)
parser.add_argument("--weights", default="imagenet")
parser.add_argument("--image-size", type=int, required=True)
parser.add_argument("--trials", type=int, required=True)
parser.add_argument("--epochs", type=int, required=True, help="of the search, where --lengths says nothing")
parser.add_argument(
    "--lengths", type=json.loads, default={}, help="JSON: [steps, batch size] by strategy and fraction"
)
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--patience", type=int, default=0, help="of early stopping; 0: all epochs")
arguments = parser.parse_args()

SIZE = (arguments.image_size, arguments.image_size)
AUTOTUNE = tf.data.AUTOTUNE


def read(folder, shuffle=True, batch_size=arguments.batch_size):
    return keras.utils.image_dataset_from_directory(
        folder, image_size=SIZE, batch_size=batch_size, shuffle=shuffle, verbose=False
    )


test = read(arguments.subsets / "test", shuffle=False)
classes = len(test.class_names)
test = test.cache().prefetch(AUTOTUNE)
print(json.dumps({"start_up_seconds": time.time() - psutil.Process().create_time()}), flush=True)


def build(strategy):
    def model(hp):
        options = {} if arguments.alpha is None else {"alpha": arguments.alpha}
        base = getattr(keras.applications, arguments.backbone)(
            include_top=False,
            input_shape=(*SIZE, 3),
            weights=None if strategy == "scratch" or arguments.weights == "none" else arguments.weights,
            **options,
        )
        if strategy == "feature_extraction":
            base.trainable = False
        elif strategy == "partial_finetune":
            share = hp.Choice("unfreeze", [0.25, 0.5, 0.75], default=0.5)
            for layer in base.layers[: round(len(base.layers) * (1 - share))]:
                layer.trainable = False
        inputs = keras.Input((*SIZE, 3))
        x = keras.layers.RandomFlip("horizontal")(inputs)
        x = keras.layers.RandomRotation(0.1)(x)
        x = keras.layers.Rescaling(1 / 127.5, offset=-1)(x)
        x = base(x) if strategy == "scratch" else base(x, training=False)
        x = keras.layers.GlobalAveragePooling2D()(x)
        x = keras.layers.Dropout(0.2)(x)
        network = keras.Model(inputs, keras.layers.Dense(classes)(x))
        low, high = (1e-4, 1e-2) if strategy in ("scratch", "feature_extraction") else (1e-5, 1e-3)
        network.compile(
            optimizer=keras.optimizers.Adam(hp.Float("learning_rate", low, high, sampling="log")),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return network

    return model


for strategy in arguments.strategies:
    for folder in sorted(arguments.subsets.iterdir()):
        if folder.name == "test":
            continue
        start = time.perf_counter()
        fraction, seed = folder.name.split("-")
        keras.utils.set_random_seed(int(seed))
        lengths = arguments.lengths.get(strategy, {})
        steps, batch_size = lengths.get(fraction, (0, arguments.batch_size))
        train = read(folder / "train", batch_size=batch_size).cache().prefetch(AUTOTUNE)
        val = read(folder / "val", shuffle=False, batch_size=batch_size).cache().prefetch(AUTOTUNE)
        with tempfile.TemporaryDirectory() as project:
            tuner = keras_tuner.RandomSearch(
                build(strategy),
                objective="val_accuracy",
                max_trials=arguments.trials,
                directory=project,
                overwrite=True,
                seed=int(seed),
            )
            stop = []
            if arguments.patience:
                stop.append(
                    keras.callbacks.EarlyStopping(patience=arguments.patience, restore_best_weights=True)
                )
            most = math.ceil(steps / len(train)) if steps else arguments.epochs
            tuner.search(train, validation_data=val, epochs=most, callbacks=stop, verbose=0)
            best = tuner.oracle.get_best_trials(1)[0]
            model = tuner.hypermodel.build(best.hyperparameters)
            epochs = (best.best_step or 0) + 1
            model.fit(train.concatenate(val), epochs=epochs, verbose=0)
        _, accuracy = model.evaluate(test, verbose=0)
        row = {"strategy": strategy, "fraction": float(fraction), "seed": int(seed), "accuracy": accuracy}
        print(json.dumps({**row, "epochs": epochs, "seconds": time.perf_counter() - start}), flush=True)
sys.stdout.flush()
