"""Starts a module in a process that finds the judge's own modules, whatever lies around.

`python -m module` puts the current folder ahead of the standard library: a `random.py` that lies
there is executed in place of the real one. Processes of the judge are started by this file
instead, with `-P`. It takes mimverify from where the file itself lies, and looks for anything
else in the standard library and in the installed packages first. They end with the process that
started them, as do those that they start in turn where asked for, and can be interrupted.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import select
import signal
import sys
from collections.abc import Sequence

__all__ = ["launch_command"]

_SEPARATOR = "--"


def launch_command(
    module: str,
    *arguments: str,
    flags: Sequence[str] = (),
    end_with: int | None = None,
    group_of: int | None = None,
) -> list[str]:
    """The command of a process that runs a module as `python -m` does.

    **Arguments**

    - `flags`: of the interpreter. PYTHONPATH, which the environment may hold, is ahead of the
      standard library: `-E` ignores it, or leave it out of the environment.
    - `end_with`: id of this process, if the new one is to be killed when the thread that starts
      it ends, however it does; Linux only.
    - `group_of`: id of this process, if the new one leads a process group that is to be killed when
      either of the two ends, with what else is in it by then; Linux only.
    """
    here = os.path.abspath(__file__)
    folders = _folders_of_requirements()
    own = [str(end_with or 0), str(group_of or 0), *folders, _SEPARATOR]
    return [sys.executable, "-P", *flags, here, *own, module, *arguments]


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
    parent, group_of, *arguments = sys.argv[1:]
    if int(parent):
        _end_with(int(parent))
    if int(group_of):
        _watch_group(int(group_of))
    # A shell's background jobs ignore it, and so would this process and its own.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    split = arguments.index(_SEPARATOR)
    # Behind all others: whatever else such a folder holds replaces nothing.
    sys.path += [folder for folder in arguments[:split] if folder not in sys.path]
    sys.argv[1:] = arguments[split + 2 :]
    _load_package()
    runpy.run_module(arguments[split + 1], run_name="__main__", alter_sys=True)


def _end_with(parent: int) -> None:
    """Ask the kernel to end this process when the thread that started it ends.

    Best effort, Linux only. Elsewhere an idle worker still notices its closed socket.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes  # not everywhere

    set_death_signal = 1  # PR_SET_PDEATHSIG
    try:
        ctypes.CDLL(None).prctl(set_death_signal, int(signal.SIGKILL), 0, 0, 0)
    except (OSError, AttributeError):
        return
    if os.getppid() != parent:  # it ended before the request was made
        os._exit(0)


def _watch_group(parent: int) -> None:
    """Start a process that kills this one's group when this one or its parent ends.

    What a trainer starts would otherwise outlive a run that is killed: the kernel's signal at a
    parent's death is not inherited. It is no child of this process, whose code may wait for all of
    them, but in its group, so that the group's number cannot be given to another one meanwhile.
    Best effort, Linux only: where processes cannot be polled there is none.
    """
    try:
        watched = [os.pidfd_open(process) for process in (os.getpid(), parent)]
    except (AttributeError, OSError):
        return
    if os.getppid() != parent:  # it ended before, and its id may be another process's
        os._exit(0)
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        for descriptor in watched:
            os.close(descriptor)
        return
    if os.fork():
        os._exit(0)
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for place, descriptor in enumerate(watched):
            os.dup2(descriptor, place)
        os.closerange(len(watched), os.sysconf("SC_OPEN_MAX"))  # sockets that others wait for
        select.select(range(len(watched)), [], [])
        os.killpg(0, signal.SIGKILL)
    finally:
        os._exit(0)


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
