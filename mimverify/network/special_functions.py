"""Special functions under one name, whichever library an array is of."""

from __future__ import annotations

from array_api_compat import is_numpy_array, is_torch_array

from mimverify.support.arrays import Array

__all__ = ["special"]


def special(name: str, z: Array) -> Array:
    """A function that SciPy, Torch and JAX have under one name, apart from the array API."""
    if is_numpy_array(z):
        from scipy import special as functions  # takes long to import
    elif is_torch_array(z):
        from torch import special as functions  # only reached with a Torch tensor in hand
    else:
        from jax.scipy import special as functions  # likewise
    return getattr(functions, name)(z)
