"""The native pass: both products of a step and what lies between them, in C, where it was built.

Optional at build and at run time: NumPy computes the same pass, and draws the same normals, without
it.
"""

from typing import TYPE_CHECKING

from mimverify.support.lazy_package import lazy_names

if TYPE_CHECKING:
    from mimverify.native.counted_normals import NativeNormals
    from mimverify.native.library import loadable_levels, native_library, pass_in_use, using
    from mimverify.native.network_pass import (
        NATIVE_ACTIVATIONS,
        NATIVE_LOSSES,
        NetworkPass,
        network_features,
    )

__all__ = [
    "NATIVE_ACTIVATIONS",
    "NATIVE_LOSSES",
    "NativeNormals",
    "NetworkPass",
    "loadable_levels",
    "native_library",
    "network_features",
    "pass_in_use",
    "using",
]

__getattr__, __dir__ = lazy_names(__name__, __file__)
