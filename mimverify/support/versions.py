"""Versions of the software at work, for records of what it computed."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from importlib import import_module

from mimverify.support.version import __version__


def software_versions(*packages: str, if_imported: Iterable[str] = ()) -> dict[str, str]:
    """Versions by name: of mimverify and Python, then of the packages asked for.

    **Arguments**

    - `packages`: names to import, `"sklearn"` rather than `"scikit-learn"`. Each is imported, if
      it is not yet; `"unknown"` is the version of one that does not tell.
    - `if_imported`: told only where something else has imported them already, left out
      otherwise: a record must not take the second that importing Torch does.

    **Raises** `ImportError` for one of `packages` that is not installed.
    """
    told = [*packages, *(name for name in if_imported if name in sys.modules)]
    return {
        "mimverify": __version__,
        "python": platform.python_version(),
        **{name: str(getattr(import_module(name), "__version__", "unknown")) for name in told},
    }
