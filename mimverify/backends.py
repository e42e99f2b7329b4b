"""Array backends: where the numbers live while a network trains.

One trainer code runs on NumPy and Torch; a backend only places arrays (library, device,
dtype) and brings them back. The arithmetic itself is written with operators and the
array API namespace.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.errors import InputError
from mimverify.validation import choice, dtype_name

BACKENDS = ("numpy", "torch")


class Backend(ABC):
    """Places arrays of one dtype on one device.

    **Arguments**

    - `dtype`: `"float32"` or `"float64"`.
    - `device`: `"cpu"`, or for Torch any device name such as `"cuda"`.
    """

    name: str

    def __init__(self, dtype: str, device: str = "cpu") -> None:
        self.dtype = dtype_name("dtype", dtype)
        self.device = device

    @abstractmethod
    def asarray(self, x: Any) -> Any:
        """`x` (a NumPy array) as an array of this backend; copies only if it must."""

    @abstractmethod
    def to_numpy(self, x: Any) -> NDArray[np.floating[Any]]:
        """A NumPy copy of `x`, safe to keep while training goes on."""

    @abstractmethod
    def empty(self, shape: tuple[int, ...]) -> Any:
        """An array of this shape whose entries are yet to be written."""

    @property
    def unit_roundoff(self) -> float:
        """u of the dtype: 2⁻²⁴ or 2⁻⁵³."""
        return float(np.finfo(self.dtype).eps) / 2


class NumpyBackend(Backend):
    """NumPy on the CPU."""

    name = "numpy"

    def __init__(self, dtype: str, device: str = "cpu") -> None:
        if device != "cpu":
            raise InputError(f"device={device!r}: the numpy backend has only 'cpu'")
        super().__init__(dtype, device)

    def asarray(self, x: Any) -> NDArray[np.floating[Any]]:
        return np.ascontiguousarray(x, dtype=self.dtype)

    def to_numpy(self, x: Any) -> NDArray[np.floating[Any]]:
        return np.array(x)

    def empty(self, shape: tuple[int, ...]) -> NDArray[np.floating[Any]]:
        return np.empty(shape, dtype=self.dtype)


class TorchBackend(Backend):
    """Torch on any of its devices."""

    name = "torch"

    def __init__(self, dtype: str, device: str = "cpu") -> None:
        import torch  # a second of import time that NumPy users need not pay

        super().__init__(dtype, device)
        try:
            torch.empty(0, device=device).cpu()  # 'meta' gives nothing back
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"device={device!r}: Torch cannot use it ({reason})") from None
        self._torch = torch

    def asarray(self, x: Any) -> Any:
        dtype = getattr(self._torch, self.dtype)
        if isinstance(x, np.ndarray):
            # Torch warns about memory that it may not write to, and takes no negative strides.
            x = np.ascontiguousarray(x)
            x = x if x.flags.writeable else x.copy()
        return self._torch.as_tensor(x, dtype=dtype, device=self.device)

    def to_numpy(self, x: Any) -> NDArray[np.floating[Any]]:
        return np.array(x.detach().cpu().numpy())

    def empty(self, shape: tuple[int, ...]) -> Any:
        return self._torch.empty(shape, dtype=getattr(self._torch, self.dtype), device=self.device)


def get_backend(name: str, dtype: str, device: str = "cpu") -> Backend:
    """The backend of that name.

    **Raises** `InputError` for an unknown backend or dtype, or a device that it cannot use.
    """
    kinds: dict[str, type[Backend]] = {"numpy": NumpyBackend, "torch": TorchBackend}
    return kinds[choice("backend", name, BACKENDS)](dtype, device)
