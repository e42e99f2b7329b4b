"""Design matrices behind the one-pass seam (design.md)."""

from mimverify.designs.base import Design, RowFunction
from mimverify.designs.stored import StoredDesign

__all__ = ["Design", "RowFunction", "StoredDesign"]
