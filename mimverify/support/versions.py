"""Versions of the software, for records of results."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from importlib import import_module

from mimverify.support.version import __version__


def software_versions(*packages: str, if_imported: Iterable[str] = ()) -> dict[str, str]:
    """Versions by name: of mimverify and Python, then of the given packages.

    **Arguments**

    - `packages`: names to import, `"sklearn"` rather than `"scikit-learn"`. Each is imported, if
      it is not yet; `"unknown"` is the version of one that has none.
    - `if_imported`: packages that are left out unless they are imported already: importing
      Torch takes a second.

    **Raises** `ImportError` for one of `packages` that is not installed.
    """
    names = [*packages, *(name for name in if_imported if name in sys.modules)]
    return {
        "mimverify": __version__,
        "python": platform.python_version(),
        **{name: str(getattr(import_module(name), "__version__", "unknown")) for name in names},
    }
