"""NumPy. Its threads are those of its BLAS."""

from __future__ import annotations

import numpy as np

from mimverify.support.libraries.process_wide import Library, Setting

NUMPY = Library(
    "numpy",
    {"NumPy's error state": Setting("numpy", lambda _: np.geterr(), lambda _, v: np.seterr(**v))},
)
