"""The Torch backend."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.backends.base import Backend
from mimverify.support.errors import InputError

__all__ = ["TorchBackend"]


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
