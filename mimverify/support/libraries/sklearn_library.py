"""scikit-learn. It brings OpenMP."""

from __future__ import annotations

from mimverify.support.libraries.process_wide import Library

SKLEARN = Library("sklearn")
