"""Starts a module in a process that finds the judge's own modules, whatever lies around.

`python -m module` puts the current folder ahead of the standard library: a `random.py` that lies
there is executed in place of the real one. Processes of the judge are started by this file
instead, with `-P`. It takes mimverify from where the file itself lies, and looks for anything
else in the standard library and in the installed packages first.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
from collections.abc import Sequence

__all__ = ["launch_command"]

_SEPARATOR = "--"


def launch_command(module: str, *arguments: str, flags: Sequence[str] = ()) -> list[str]:
    """The command of a process that runs a module as `python -m` does.

    **Arguments**

    - `flags`: of the interpreter. PYTHONPATH, which the environment may hold, is ahead of the
      standard library: `-E` ignores it, or leave it out of the environment.
    """
    here = os.path.abspath(__file__)
    folders = _folders_of_requirements()
    return [sys.executable, "-P", *flags, here, *folders, _SEPARATOR, module, *arguments]


def _folders_of_requirements() -> list[str]:
    """Where this process found what mimverify needs; PYTHONPATH may name such folders."""
    from mimverify.support.importing import REQUIREMENTS

    found = []
    for name in REQUIREMENTS:
        file = getattr(sys.modules.get(name), "__file__", None)
        if name != "mimverify" and file is not None:
            parts = 2 if os.path.basename(file).startswith("__init__.") else 1
            for _ in range(parts):
                file = os.path.dirname(file)
            found.append(os.path.abspath(file))
    return list(dict.fromkeys(found))


def _main() -> None:
    arguments = sys.argv[1:]
    split = arguments.index(_SEPARATOR)
    # Behind all others: whatever else such a folder holds replaces nothing.
    sys.path += [folder for folder in arguments[:split] if folder not in sys.path]
    sys.argv[1:] = arguments[split + 2 :]
    _load_package()
    runpy.run_module(arguments[split + 1], run_name="__main__", alter_sys=True)


def _load_package() -> None:
    """Load mimverify from this copy. Its folder does not have to be on the path for that."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    spec = importlib.util.spec_from_file_location(
        "mimverify", os.path.join(package, "__init__.py"), submodule_search_locations=[package]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mimverify"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    _main()
