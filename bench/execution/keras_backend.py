"""Loading Keras, in a process that is to compute with it."""

from __future__ import annotations

import sys

from bench.system.backend import BACKENDS, asked_for


def load(threads: int) -> None:
    """Loads Keras with the backend that the environment names, for ``threads`` threads.

    ``environment`` must have been set when this process began.
    """
    # Keras loads these if it finds them, and needs none: plots, wrappers, the random seeds of other backends.
    # They cost seconds and hundreds of MB, and would take their share of a GPU.
    unused = ["matplotlib", "sklearn", *(name for name in BACKENDS if name != asked_for())]
    hidden = [name for name in unused if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        import keras

        keras.utils.set_random_seed(0)
    finally:
        for name in hidden:
            del sys.modules[name]
    name = keras.backend.backend()
    if name == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    elif name == "torch":
        import torch

        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
    make_deterministic()


def make_deterministic() -> None:
    """Lets the backend that is loaded compute the same again, wherever it can."""
    import keras

    name = keras.backend.backend()
    if name == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif name == "torch":
        import torch

        # On a GPU a few operations have no deterministic kernel: better another last digit than no result.
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False
        torch.utils.deterministic.fill_uninitialized_memory = False  # we read none
