"""A Gaussian design matrix that is drawn only as far as training queries it.

storage → normals, workers → gram_schmidt → design. Source: theory.md §8.
"""

from mimverify.designs.lazy.design import LazyGaussianDesign, lazy_bytes

__all__ = ["LazyGaussianDesign", "lazy_bytes"]
