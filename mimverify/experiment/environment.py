"""The software versions that a record states."""

from __future__ import annotations

from mimverify.backends import backend_class
from mimverify.support.versions import software_versions


def library_versions(backend: str) -> dict[str, str]:
    """Versions by name: of Python and of what computed, the backend's own libraries included."""
    return software_versions("numpy", "scipy", *backend_class(backend).modules)
