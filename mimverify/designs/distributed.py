"""The processes of one run, over torch.distributed: gloo on the CPU, NCCL between GPUs.

`process_group` reads what torchrun tells each process in its environment. A process that
dies takes its connections along, and one that hangs lets the time limit pass: either way the
others leave the call they are in with a `LostProcessError`.
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

from mimverify.support.errors import InputError, LostProcessError
from mimverify.support.validation import number

#: Seconds that a process waits for the others at most.
TIMEOUT = 600.0

_LONGEST = 30 * 86_400.0


class Communicator:
    """What the processes of one run exchange; by itself, a run of one process.

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

    def sum_(self, x: Any) -> Any:
        """The sum over processes, bit for bit the same on each, in the memory of `x` if it can."""
        return x

    def gather(self, x: Any) -> list[Any]:
        """`x` of every process, by rank; they are of one shape and dtype."""
        return [x]

    def barrier(self) -> None:
        """Wait until every process is here."""
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

    def sum_(self, x: Any) -> Any:
        tensor = self._tensor(x)
        with self._waiting():
            self._torch.distributed.all_reduce(tensor)
        return _like(x, tensor)

    def gather(self, x: Any) -> list[Any]:
        tensor = self._tensor(x)
        parts = [self._torch.empty_like(tensor) for _ in range(self.ranks)]
        with self._waiting():
            self._torch.distributed.all_gather(parts, tensor)
        return [_like(x, part) for part in parts]

    def _tensor(self, x: Any) -> Any:
        """`x` as a dense tensor, on its own memory unless that is read-only or has gaps."""
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


def _like(x: Any, tensor: Any) -> Any:
    return tensor.numpy() if isinstance(x, np.ndarray) else tensor


@contextmanager
def process_group(device: str = "cpu", timeout: float = TIMEOUT) -> Iterator[Communicator]:
    """The communicator of this process, as torchrun's environment variables describe the run.

    RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, and for GPUs LOCAL_RANK. Without RANK and
    WORLD_SIZE it is a run of one process, and torch.distributed stays out of it.

    **Arguments**

    - `device`: `"cpu"`, or `"cuda"` for the GPU numbered LOCAL_RANK.
    - `timeout`: seconds, at least 1, that a process waits for the others: for their start, and
      in each collective.

    **Raises** `InputError` for a bad time limit, variables that make no sense, a device that
    this process cannot have, or a Torch without torch.distributed; `LostProcessError` if the
    processes do not find one another.
    """
    timeout = number("timeout", timeout, minimum=1)  # gloo takes 0 ms for no limit at all
    if timeout > _LONGEST:
        raise InputError(f"timeout={timeout:g}: expected at most {_LONGEST:g} seconds")
    place = _Place.read(os.environ)
    if place is None:
        yield Communicator(device)
        return
    distributed = _torch_distributed()
    backend, device = _backend(device, place)
    if backend != "gloo":
        # Otherwise a lost process shows as an abort from a thread, not as an exception here.
        os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
    try:
        distributed.init_process_group(backend, timeout=timedelta(seconds=timeout))
    except (RuntimeError, ValueError, OSError) as error:
        raise LostProcessError(
            f"the {place.ranks} processes of the run did not meet at {place.address} within "
            f"{timeout:g} s ({_reason(error)})"
        ) from error
    complete = False
    try:
        yield _TorchCommunicator(device, timeout)
        complete = True
    finally:
        # NCCL's tear-down waits for the others, which may be gone; the end of the process,
        # which is near after an error, cuts its connections without.
        if complete or backend == "gloo":
            distributed.destroy_process_group()


# -- the environment ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where this process stands in its run."""

    rank: int
    ranks: int
    local_rank: int | None
    address: str

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> _Place | None:
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


def _backend(device: str, place: _Place) -> tuple[str, str]:
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
    if place.local_rank is None:
        raise InputError("LOCAL_RANK is not set in the environment: torchrun sets it")
    if place.local_rank >= torch.cuda.device_count():
        raise InputError(
            f"LOCAL_RANK={place.local_rank} in the environment: this machine has "
            f"{torch.cuda.device_count()} GPUs, and each process needs one of its own"
        )
    torch.cuda.set_device(place.local_rank)
    return "cpu:gloo,cuda:nccl", f"cuda:{place.local_rank}"


def _reason(error: BaseException) -> str:
    """The first sentence of what Torch says, without its source file's name."""
    text = str(error).strip() or type(error).__name__
    return re.sub(r"^\[[^\]]*\] *", "", text.splitlines()[0]).partition(". ")[0].rstrip(".")
