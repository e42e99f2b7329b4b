"""The Torch backend."""

from __future__ import annotations

import numpy as np

from mimverify.backends.base import Backend
from mimverify.support.arrays import Array, FloatArray
from mimverify.support.errors import InputError

__all__ = ["TorchBackend"]


class TorchBackend(Backend):
    """Torch on any of its devices."""

    name = "torch"
    title = "Torch"
    modules = ("torch",)
    takes_devices = True
    special_functions = "torch.special"
    array_modules = ("torch",)

    def __init__(self, dtype: str, device: str = "cpu") -> None:
        import torch  # not at the top: importing it takes a second

        super().__init__(dtype, device)
        try:
            torch.empty(0, device=device).cpu()  # 'meta' holds no data
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"device={device!r}: Torch cannot use it ({reason})") from None
        self._torch = torch

    def asarray(self, x: Array) -> Array:
        dtype = getattr(self._torch, self.dtype)
        if isinstance(x, np.ndarray):
            # Torch warns of read-only memory and refuses negative strides.
            x = np.ascontiguousarray(x)
            x = x if x.flags.writeable else x.copy()
        return self._torch.as_tensor(x, dtype=dtype, device=self.device)

    def to_numpy(self, x: Array) -> FloatArray:
        return np.array(x.detach().cpu().numpy())

    def empty(self, shape: tuple[int, ...]) -> Array:
        return self._torch.empty(shape, dtype=getattr(self._torch, self.dtype), device=self.device)

    def matmul(self, left: Array, right: Array, out: Array | None = None) -> Array:
        return self._torch.matmul(left, right, out=out)

    def view(self, x: Array) -> FloatArray:
        view: FloatArray = x.numpy()
        return view

    def fill_normals(self, rows: Array, seed: int) -> None:
        generator = self._torch.Generator(device=self.device)
        generator.manual_seed(seed)
        for row in rows:
            row.normal_(generator=generator)
