"""Which backend Keras computes with, and what each needs to compute the same again. Imports none of them."""

from __future__ import annotations

import importlib.util
import os
import sys

from bench.errors import RequestError, did_you_mean

BACKENDS = ("tensorflow", "torch", "jax")
DEFAULT = "tensorflow"

THREADS = {"tensorflow": "TF_NUM_INTRAOP_THREADS", "torch": "OMP_NUM_THREADS", "jax": "NPROC"}
"""The variable of ``environment`` that sets the number of threads."""
WITHOUT_ACCELERATOR: dict[str, dict[str, str]] = {
    "tensorflow": {},  # has no such variable
    "torch": {"KERAS_TORCH_DEVICE": "cpu"},
    "jax": {"JAX_PLATFORMS": "cpu"},
}


def asked_for() -> str:
    """What ``KERAS_BACKEND`` says, as it stands; without it, TensorFlow."""
    return os.environ.get("KERAS_BACKEND") or DEFAULT


def chosen() -> str:
    """What ``KERAS_BACKEND`` asks for, checked.

    Raises:
        RequestError: see ``check``.
    """
    check(asked_for())
    return asked_for()


def check(name: str) -> None:
    """Refuses a backend that cannot train here.

    Raises:
        RequestError: Keras cannot train with it, or its package is not installed.
    """
    field = "KERAS_BACKEND" if name == os.environ.get("KERAS_BACKEND") else "backend"
    if name not in BACKENDS:
        raise RequestError(field, name, "tensorflow, torch or jax", did_you_mean(name, BACKENDS))
    if not is_installed(name):
        extra = "" if name == DEFAULT else f"[{name}]"
        raise RequestError(
            field, name, "a backend that is installed", f'Run: pip install "transfer-bench{extra}"'
        )


def loaded() -> str | None:
    """The backend of the Keras that is loaded in this process; None if there is none."""
    keras = sys.modules.get("keras")
    return str(keras.backend.backend()) if keras is not None and hasattr(keras, "backend") else None


def is_installed(name: str) -> bool:
    """Whether the package of a backend can be found; it is not loaded."""
    return importlib.util.find_spec(name) is not None


def environment(name: str, threads: int) -> dict[str, str]:
    """What a process that trains with a backend, on so many threads, must find in its environment.

    Thread pools and, on GPUs, the order of sums are fixed before a backend is loaded, or not at all.
    """
    count = str(threads)
    settings: dict[str, dict[str, str]] = {
        "tensorflow": {"TF_NUM_INTRAOP_THREADS": count, "TF_NUM_INTEROP_THREADS": "1"},
        "torch": {"MKL_NUM_THREADS": count, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"},
        "jax": {
            "NPROC": count,  # the size of XLA's pool of threads
            "XLA_FLAGS": "--xla_gpu_deterministic_ops=true",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # workers may share a GPU
        },
    }
    return {"KERAS_BACKEND": name, "OMP_NUM_THREADS": count, **settings.get(name, {})}


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
