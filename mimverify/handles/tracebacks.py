"""Where in a trainer's own code an exception comes from."""

from __future__ import annotations

import importlib
import os
import sysconfig
import traceback
from functools import cache
from pathlib import Path
from types import TracebackType

from mimverify.handles.trainer_output import last_lines
from mimverify.support.errors import TrainerError
from mimverify.support.importing import visible

__all__ = ["is_installed", "shown_path", "trainer_error"]

_DEEPEST = 30  # frames of a traceback that are shown: the last ones
_PACKAGE = Path(__file__).parents[1]
#: What calls a trainer: the frames above its own.
_CALLERS = (
    str(_PACKAGE / "handles"), str(_PACKAGE / "support" / "importing.py"),
    os.path.dirname(importlib.__file__), "<frozen import",
)  # fmt: skip


def trainer_error(
    kind: str, message: str, error: BaseException | None, *, advice: str = ""
) -> TrainerError:
    """The `TrainerError` with this message, with the place in the trainer's code, and traceback.

    **Arguments**

    - `error`: what the trainer's code raised; None: nothing.
    - `advice`: what the message ends with.
    """
    frames = [] if error is None else _trainers_frames(error)
    place = _place(frames)
    where = f" ({place})" if place else ""
    text = "" if error is None else _text(error, frames)
    return TrainerError(kind, f"{message}{where}{advice}", text)


def shown_path(path: str) -> str:
    """A path as messages show it: relative to the current directory where it lies below it."""
    with_here = path
    try:
        here = os.getcwd()
        if os.path.isabs(path) and os.path.commonpath([here, path]) == here:
            with_here = os.path.relpath(path, here)
    except (OSError, ValueError):  # the directory was deleted; another drive
        pass
    return visible(with_here)


def is_installed(path: str) -> bool:
    """Whether a file belongs to Python, to an installed package or to mimverify."""
    return path.startswith(_installed_folders()) or bool(
        {"site-packages", "dist-packages"} & set(Path(path).parts)
    )


@cache
def _installed_folders() -> tuple[str, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    found = {sysconfig.get_paths()[name] for name in names}
    return tuple(folder + os.sep for folder in (*found, str(_PACKAGE)))


def _trainers_frames(error: BaseException) -> list[TracebackType]:
    """Those below the frames that called the trainer."""
    frames = []
    step = error.__traceback__
    while step is not None:
        frames.append(step)
        step = step.tb_next
    while frames and _file(frames[0]).startswith(_CALLERS):
        del frames[0]
    return frames


def _place(frames: list[TracebackType]) -> str:
    """`"file:line, in function"` of the innermost frame in the trainer's code.

    That is the package of the first frame, and what lies among no installed packages: not the
    library that the trainer gave a wrong argument.
    """
    if not frames:
        return ""
    package = _package(frames[0])
    own = [
        frame
        for frame in frames
        if _package(frame) == package
        or not (_file(frame).startswith("<") or is_installed(_file(frame)))
    ]
    inner = (own or frames)[-1]
    name = inner.tb_frame.f_code.co_name
    within = "" if name == "<module>" else f", in {visible(name)}"
    return f"{shown_path(_file(inner))}:{inner.tb_lineno}{within}"


def _file(frame: TracebackType) -> str:
    return frame.tb_frame.f_code.co_filename


def _package(frame: TracebackType) -> str:
    return str(frame.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


def _text(error: BaseException, frames: list[TracebackType]) -> str:
    start = frames[0] if frames else None
    try:
        lines = traceback.format_exception(type(error), error, start, limit=-_DEEPEST)
    except Exception:  # formatting calls the trainer's code: __str__, __notes__, its loader
        return ""
    return last_lines("".join(lines))
