"""Types of arrays.

Shapes are written with jaxtyping, `Float[Array, "n d"]`, imported for type checkers alone: the
library itself does not need it. Under test every such annotation is checked at each call
(tests/helpers/shape_checker.py).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "ArrayLike", "Float64Array", "FloatArray", "NumpyArray"]

#: An array of NumPy or of Torch: the arithmetic is the same, and they have no common type.
Array: TypeAlias = Any
#: What `numpy.asarray` takes: arguments that a function checks by itself.
ArrayLike: TypeAlias = Any
#: A NumPy array of any dtype; of float32 or float64; of float64.
NumpyArray: TypeAlias = NDArray[Any]
FloatArray: TypeAlias = NDArray[np.floating[Any]]
Float64Array: TypeAlias = NDArray[np.float64]
