"""What a record tells about the software that made it."""

from __future__ import annotations

import platform

import numpy as np

from mimverify.version import __version__


def library_versions(backend: str) -> dict[str, str]:
    """Versions by name: of Python and of what computed; Torch's only for its backend."""
    import scipy

    versions = {
        "mimverify": __version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
    }
    if backend == "torch":
        import torch  # only where its user has loaded it already

        versions["torch"] = str(torch.__version__)
    return versions
