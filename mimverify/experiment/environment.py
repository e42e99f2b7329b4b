"""The software versions that a record states."""

from __future__ import annotations

from mimverify.support.versions import software_versions


def library_versions(backend: str) -> dict[str, str]:
    """Versions by name: of Python and of what computed; Torch's only for its backend."""
    return software_versions("numpy", "scipy", *(["torch"] if backend == "torch" else []))
