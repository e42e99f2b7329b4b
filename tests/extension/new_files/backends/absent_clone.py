"""A backend whose library is installed nowhere."""

from __future__ import annotations

from mimverify.backends.numpy_backend import NumpyBackend


class AbsentClone(NumpyBackend):
    """Named everywhere, usable nowhere."""

    name = "absent_clone"
    title = "Absent clone"
    modules = ("no_such_library",)
    extra = "absent"
    takes_devices = True
