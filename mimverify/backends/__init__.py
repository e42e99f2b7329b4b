"""Array backends: the library, device and dtype that a network is trained in."""

from mimverify.backends.base import Backend
from mimverify.backends.numpy_backend import NumpyBackend
from mimverify.backends.pass_terms import PassTerms, WholeBlock
from mimverify.backends.registry import (
    BACKEND_MODULES,
    BACKENDS,
    BACKENDS_WITH_DEVICES,
    REQUIRED_BACKENDS,
    backend_class,
    get_backend,
)
from mimverify.backends.torch_backend import TorchBackend

__all__ = [
    "BACKENDS",
    "BACKENDS_WITH_DEVICES",
    "BACKEND_MODULES",
    "REQUIRED_BACKENDS",
    "Backend",
    "NumpyBackend",
    "PassTerms",
    "TorchBackend",
    "WholeBlock",
    "backend_class",
    "get_backend",
]
