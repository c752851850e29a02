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
