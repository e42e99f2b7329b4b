"""A child process for tests of the pipe protocol; nothing but Python's own library.

    python pipe_child.py [BEHAVIOUR] [HELLO]

BEHAVIOUR says how `step` and `fit` are answered: a name of `BEHAVIOURS`, or the very text that is
written. HELLO are further entries of the answer to hello, as JSON.
"""

from __future__ import annotations

import array
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO

HELLO = {"answer": "hello", "protocol": 1, "methods": ["step", "trajectory", "fit", "predict"]}

Header = dict[str, Any]


def doubled(header: Header, payload: bytes) -> bytes:
    """2 W, and 2 W_0, 4 W_0, ...: whatever the loss."""
    W = array.array("d" if header["dtype"] == "float64" else "f", payload)
    del W[header["m"] * header["d"] :]
    shape, powers = [header["m"], header["d"]], range(1, 2)
    if header["request"] == "trajectory":
        shape, powers = [header["steps"] + 1, *shape], range(header["steps"] + 1)
    values = array.array(W.typecode, [2**k * w for k in powers for w in W])
    answer = {"answer": header["request"], "dtype": header["dtype"], "shape": shape}
    return json.dumps(answer).encode() + b"\n" + values.tobytes()


def wait(header: Header, payload: bytes) -> bytes:
    print("waiting", file=sys.stderr, flush=True)
    time.sleep(1000)
    return b""


def leave_one_behind(header: Header, payload: bytes) -> bytes:
    """Starts a process, and says which."""
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    print(left.pid, file=sys.stderr, flush=True)
    return doubled(header, payload)


def leave(header: Header, payload: bytes) -> bytes:
    print("out of ideas", file=sys.stderr, flush=True)
    sys.exit(3)


def crash(header: Header, payload: bytes) -> bytes:
    os.kill(os.getpid(), signal.SIGSEGV)
    return b""


def half(header: Header, payload: bytes) -> bytes:
    """Half of an array, and the end."""
    whole = doubled(header, payload)
    sys.stdout.buffer.write(whole[: len(whole) - 8])
    sys.stdout.buffer.flush()
    os._exit(0)


def chatter(header: Header, payload: bytes) -> bytes:
    """More on standard error than its pipe holds, before the answer."""
    print("x" * 300_000, "\nthe end of it", file=sys.stderr, flush=True)
    return doubled(header, payload)


BEHAVIOURS: dict[str, Callable[[Header, bytes], bytes]] = {
    each.__name__: each for each in (doubled, wait, leave_one_behind, leave, crash, half, chatter)
}


def serve(given: BinaryIO, out: BinaryIO, behaviour: str, hello: Header) -> None:
    fitted: tuple[int | None, bytes] | None = None
    for line in given:
        header = json.loads(line)
        payload = given.read(header["bytes"])
        if header["request"] == "hello":
            out.write(json.dumps(hello).encode() + b"\n")
        elif header["request"] == "fit":
            fitted = header["random_state"], payload
            out.write(b'{"answer": "fit"}\n')
        elif header["request"] == "predict":
            assert fitted is not None
            value = float((fitted[0] or 0) + len(fitted[1]))
            answer = {"answer": "predict", "dtype": "float64", "shape": [header["n"]]}
            out.write(json.dumps(answer).encode() + b"\n")
            out.write(array.array("d", [value] * header["n"]).tobytes())
        elif behaviour in BEHAVIOURS:
            out.write(BEHAVIOURS[behaviour](header, payload))
        else:
            out.write(behaviour.encode().decode("unicode_escape").encode("latin-1"))
        out.flush()


if __name__ == "__main__":
    behaviour, hello, *_ = [*sys.argv[1:], *["doubled", "{}"][len(sys.argv) - 1 :]]
    serve(sys.stdin.buffer, sys.stdout.buffer, behaviour, {**HELLO, **json.loads(hello)})
