"""The processes of one run, over torch.distributed: gloo on the CPU, NCCL between GPUs.

`process_group` reads the environment variables that torchrun sets. If a process dies, its
connections close; if it hangs, the time limit expires: either way the calls of the others raise
`LostProcessError`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from mimverify.support.arrays import Array
from mimverify.support.errors import InputError, LostProcessError
from mimverify.support.validation import number

#: Seconds that a process waits for the others at most.
TIMEOUT = 600.0

_LONGEST = 30 * 86_400.0


class Communicator:
    """Communication between the processes of one run; this base class: of a run of one process.

    Every method but the constructor is a collective: all processes call it, in the same order.
    Arrays are NumPy's, or Torch's on the CPU or on `device`. **Raises** `LostProcessError`
    from all of them.

    **Arguments**

    - `device`: the Torch device of this process.
    """

    rank: int = 0
    ranks: int = 1

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def sum_(self, x: Array) -> Array:
        """The sum over processes, bit for bit the same on each, in place where possible."""
        return x

    def gather(self, x: Array) -> list[Array]:
        """`x` of every process, by rank; they are of one shape and dtype."""
        return [x]

    def barrier(self) -> None:
        """Wait for all processes."""
        self.sum_(np.zeros(1))

    def check_same(self, argument: str, value: str) -> None:
        """**Raises** `InputError`, on all processes, where they differ in `value`."""
        digest = np.frombuffer(hashlib.sha256(value.encode()).digest(), dtype=np.uint8)
        first, *others = self.gather(digest.copy())
        for rank, other in enumerate(others, start=1):
            if not np.array_equal(first, other):
                raise InputError(
                    f"{argument}: process {rank} has another one than process 0; start all "
                    "processes alike"
                )


class _TorchCommunicator(Communicator):
    """The default process group of torch.distributed, which exists already."""

    def __init__(self, device: str, timeout: float) -> None:
        import torch.distributed

        super().__init__(device)
        self._torch = torch
        self._timeout = timeout
        self.rank = torch.distributed.get_rank()
        self.ranks = torch.distributed.get_world_size()

    def sum_(self, x: Array) -> Array:
        tensor = self._tensor(x)
        with self._waiting():
            self._torch.distributed.all_reduce(tensor)
        return _like(x, tensor)

    def gather(self, x: Array) -> list[Array]:
        tensor = self._tensor(x)
        gathered = [self._torch.empty_like(tensor) for _ in range(self.ranks)]
        with self._waiting():
            self._torch.distributed.all_gather(gathered, tensor)
        return [_like(x, shard) for shard in gathered]

    def _tensor(self, x: Array) -> Array:
        """`x` as a contiguous tensor, a view unless `x` is read-only or strided."""
        if isinstance(x, np.ndarray):
            x = np.ascontiguousarray(x)
            return self._torch.from_numpy(x if x.flags.writeable else x.copy())
        return x.contiguous()

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise LostProcessError(
                "a process of the run died or did not answer within "
                f"{self._timeout:g} s ({_reason(error)})"
            ) from error


def _like(x: Array, tensor: Array) -> Array:
    return tensor.numpy() if isinstance(x, np.ndarray) else tensor


@contextmanager
def process_group(device: str = "cpu", timeout: float = TIMEOUT) -> Iterator[Communicator]:
    """The communicator of this process, as torchrun's environment variables describe the run.

    RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, and for GPUs LOCAL_RANK. Without RANK and
    WORLD_SIZE it is a run of one process, and torch.distributed is not used.

    **Arguments**

    - `device`: `"cpu"`, or `"cuda"` for the GPU numbered LOCAL_RANK.
    - `timeout`: seconds, at least 1, that a process waits for the others: for their start, and
      in each collective.

    **Raises** `InputError` for a bad time limit, variables out of range, a device that
    this process cannot have, or a Torch without torch.distributed; `LostProcessError` if the
    processes do not find one another.
    """
    timeout = number("timeout", timeout, minimum=1)  # to gloo 0 ms means no limit
    if timeout > _LONGEST:
        raise InputError(f"timeout={timeout:g}: expected at most {_LONGEST:g} seconds")
    own = _Rank.read(os.environ)
    if own is None:
        yield Communicator(device)
        return
    distributed = _torch_distributed()
    backend, device = _backend(device, own)
    if backend != "gloo":
        # Otherwise a lost process aborts from a thread instead of raising here.
        os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
    try:
        distributed.init_process_group(backend, timeout=timedelta(seconds=timeout))
    except (RuntimeError, ValueError, OSError) as error:
        raise LostProcessError(
            f"the {own.ranks} processes of the run did not meet at {own.address} within "
            f"{timeout:g} s ({_reason(error)})"
        ) from error
    complete = False
    try:
        yield _TorchCommunicator(device, timeout)
        complete = True
    finally:
        # NCCL's tear-down waits for the others, which may be gone. After an error it is skipped:
        # the end of the process closes the connections.
        if complete or backend == "gloo":
            distributed.destroy_process_group()


# -- the environment ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rank:
    """This process's rank, and how it reaches the others."""

    rank: int
    ranks: int
    local_rank: int | None
    address: str

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> _Rank | None:
        """None for a run of one process. **Raises** `InputError` naming the variable."""
        if "RANK" not in environment and "WORLD_SIZE" not in environment:
            return None
        ranks = _variable(environment, "WORLD_SIZE", 1, 1_000_000)
        rank = _variable(environment, "RANK", 0, ranks - 1)
        local = None
        if "LOCAL_RANK" in environment:
            local = _variable(environment, "LOCAL_RANK", 0, ranks - 1)
        port = _variable(environment, "MASTER_PORT", 1, 65_535)
        host = environment.get("MASTER_ADDR", "")
        if not host.strip():
            raise InputError(f"MASTER_ADDR={host!r}: expected the host of process 0; use torchrun")
        return cls(rank, ranks, local, f"{host}:{port}")


def _variable(environment: Mapping[str, str], name: str, minimum: int, maximum: int) -> int:
    text = environment.get(name)
    expected = f"expected an integer from {minimum} to {maximum}; torchrun sets it"
    if text is None:
        raise InputError(f"{name} is not set in the environment: {expected}")
    try:
        value = int(text)
    except ValueError:
        raise InputError(f"{name}={text!r} in the environment: {expected}") from None
    if not minimum <= value <= maximum:
        raise InputError(f"{name}={value} in the environment: {expected}")
    return value


def _torch_distributed() -> Any:
    import torch.distributed

    if not torch.distributed.is_available():
        raise InputError("this build of Torch has no torch.distributed: expected one that has")
    if torch.distributed.is_initialized():
        raise InputError("torch.distributed is initialised already: expected no process group yet")
    return torch.distributed


def _backend(device: str, own: _Rank) -> tuple[str, str]:
    """torch.distributed's backend, and the device of this process."""
    if device == "cpu":
        return "gloo", device
    if device != "cuda":
        raise InputError(
            f"device={device!r}: expected 'cpu', or 'cuda' for the GPU that each process finds "
            "at its LOCAL_RANK"
        )
    import torch

    if not torch.cuda.is_available() or not torch.distributed.is_nccl_available():
        raise InputError("device='cuda': this Torch has no GPU, or no NCCL")
    if own.local_rank is None:
        raise InputError("LOCAL_RANK is not set in the environment: torchrun sets it")
    if own.local_rank >= torch.cuda.device_count():
        raise InputError(
            f"LOCAL_RANK={own.local_rank} in the environment: this machine has "
            f"{torch.cuda.device_count()} GPUs, and each process needs one of its own"
        )
    torch.cuda.set_device(own.local_rank)
    return "cpu:gloo,cuda:nccl", f"cuda:{own.local_rank}"


def _reason(error: BaseException) -> str:
    """The first sentence of Torch's message, without its source file's name."""
    text = str(error).strip() or type(error).__name__
    return re.sub(r"^\[[^\]]*\] *", "", text.splitlines()[0]).partition(". ")[0].rstrip(".")
