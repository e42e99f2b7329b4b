"""Libraries that are installed only where somebody wants them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

__all__ = ["missing_libraries"]


def missing_libraries(modules: Iterable[str], extra: str = "") -> str | None:
    """`"needs jax (pip install 'mimverify[jax]')"`; None if all of them are installed.

    Nothing is imported.

    **Arguments**

    - `modules`: top-level modules, `"sklearn"` rather than `"scikit-learn"`.
    - `extra`: the extra of mimverify that installs them; empty where there is none.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if not missing:
        return None
    hint = f" (pip install 'mimverify[{extra}]')" if extra else ""
    return f"needs {', '.join(missing)}{hint}"
