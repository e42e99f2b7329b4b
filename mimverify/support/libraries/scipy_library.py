"""SciPy. It has a BLAS of its own, which either of two modules loads."""

from __future__ import annotations

from mimverify.support.libraries.process_wide import Library

SCIPY = Library("scipy", pool_modules=("scipy.linalg", "scipy.special"))
