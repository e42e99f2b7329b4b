"""All that is to be measured on one CUDA device, within eight minutes: `make gpu`.

Every part runs in a process of its own, with a time limit; its record is kept in `build/gpu/`, by
card and commit, so that an interrupted run goes on where it stopped. At the end the table between
the markers of docs/gpu.md is written. `--device cpu` tries the script itself, at small sizes, and
writes its page beside the records instead.

Exit codes: 0 all parts passed; 1 a part failed or ran out of time; 2 wrong usage; 3 there is no
such device.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mimverify.backends import BACKENDS_WITH_DEVICES, get_backend
from mimverify.support.errors import InputError
from mimverify.support.files import atomic_write
from mimverify.support.strict_json import Json, jsonable, parse_json

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "build" / "gpu"
PAGE = ROOT / "docs" / "gpu.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
NO_DEVICE = 3
ROUNDS = 9


class Device:
    """The device under test: Torch's name of it, and how large the problems may be."""

    def __init__(self, name: str) -> None:
        import torch

        self.torch, self.name = torch, name
        self.small = name == "cpu"  # the dry run

    @property
    def available(self) -> bool:
        return self.small or bool(self.torch.cuda.is_available())

    def describe(self) -> Json:
        torch = self.torch
        found: Json = {"torch": torch.__version__, "card": "cpu (a dry run)", "memory": 1 << 30}
        if not self.small:
            card = torch.cuda.get_device_properties(self.name)
            found |= {
                "card": card.name,
                "memory": int(torch.cuda.mem_get_info(self.name)[0]),
                "cuda": torch.version.cuda,
                "capability": f"{card.major}.{card.minor}",
                "multiprocessors": card.multi_processor_count,
            }
        return found

    def seconds(self, call: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
        """Seconds of each call. Kernels are queued: the clock waits for them at both ends."""
        times = []
        for _ in range(rounds + 2):
            self.wait()
            start = time.perf_counter()
            call()
            self.wait()
            times.append(time.perf_counter() - start)
        return times[2:]  # the first choose and compile kernels

    def wait(self) -> None:
        if not self.small:
            self.torch.cuda.synchronize(self.name)

    @contextmanager
    def float32_products(self, precision: str) -> Iterator[None]:
        """Torch's precision of float32 products: "highest", or "high", which allows TF32."""
        before = self.torch.get_float32_matmul_precision()
        self.torch.set_float32_matmul_precision(precision)
        try:
            yield
        finally:
            self.torch.set_float32_matmul_precision(before)


def peaks(device: Device) -> Json:
    """Bandwidth of a copy, and the rate of square products in each format."""
    torch = device.torch
    size, order = (1 << 24, 512) if device.small else (1 << 30, 8192)
    source = torch.zeros(size // 4, dtype=torch.float32, device=device.name)
    target = torch.empty_like(source)
    copied = float(np.median(device.seconds(lambda a=target, b=source: a.copy_(b))))
    found: Json = {"bandwidth": 2 * size / copied}
    del source, target
    for name, dtype, precision in (
        ("float32", torch.float32, "highest"),
        ("tf32", torch.float32, "high"),
        ("bfloat16", torch.bfloat16, "highest"),
        ("float64", torch.float64, "highest"),
    ):
        A = torch.randn(order, order, device=device.name).to(dtype)
        B = torch.empty_like(A)
        with device.float32_products(precision):
            taken = device.seconds(lambda A=A, B=B: torch.matmul(A, A, out=B))
        found[name] = 2 * order**3 / float(np.median(taken))
    return found


def tests(device: Device) -> Json:
    """The tests marked `cuda`, on the device."""
    # Importing all of the tests would take longer than these do.
    files = sorted(
        str(path)
        for path in (ROOT / "tests").rglob("test_*.py")
        if "pytest.mark.cuda" in path.read_text(encoding="utf-8")
    )
    words = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", *files]
    environment = os.environ | {"MIMVERIFY_DEVICE": device.name}
    ended = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, check=False, text=True
    )
    last = ended.stdout.strip().splitlines()[-1:] or [ended.stderr.strip()[-200:]]
    return {"passed": ended.returncode == 0, "summary": last[0], "output": ended.stdout[-4000:]}


#: Wrong ones on trial, as a module that a trial's processes can import.
TRAINERS = '''
from mimverify import torch_trainer


class Tf32Unasked:
    """Float32 whose products the card takes in TF32, though nobody asked for it."""

    def __init__(self):
        self.inner = torch_trainer(device={device!r})

    def step(self, W, a, b, X, y, **settings):
        import torch

        torch.set_float32_matmul_precision("high")
        return self.inner.step(W, a, b, X, y, **settings)


class Rounded:
    """The same where no hardware has TF32: inputs of float32 products lose the same 13 bits."""

    def __init__(self):
        self.inner = torch_trainer(device={device!r})

    def step(self, W, a, b, X, y, **settings):
        if X.dtype == "float32":
            W, X = (_rounded(M) for M in (W, X))
        return self.inner.step(W, a, b, X, y, **settings)


def _rounded(M):
    import numpy as np

    bits = np.ascontiguousarray(M).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)
'''


def _trial(device: Device, trainer: Sequence[str], claims: Sequence[str]) -> Json:
    """`mimverify check` with these words that name the trainer."""
    RECORDS.mkdir(parents=True, exist_ok=True)
    module = RECORDS / "card_trainers.py"
    module.write_text(TRAINERS.format(device=device.name), encoding="utf-8")
    record = RECORDS / f"trial-{_slug(trainer[0])}.json"
    record.unlink(missing_ok=True)
    words = [sys.executable, "-m", "mimverify", "check", *trainer]
    words += ["--profile", "quick", "--json", str(record)]
    words += [word for name in claims for word in ("--claim", name)]
    path = os.pathsep.join([str(RECORDS), str(ROOT), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        words,
        cwd=RECORDS,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        check=False,
        text=True,
    )
    if not record.exists():
        return {
            "code": ended.returncode,
            "summary": {},
            "output": (ended.stdout + ended.stderr)[-4000:],
        }
    (trainer,) = parse_json(record.read_bytes(), str(record))["trainers"]
    return {
        "code": ended.returncode,
        "summary": {name: count for name, count in trainer["summary"].items() if count},
        "failed": [v["id"] for v in trainer["claims"] if v["status"] in ("failed", "error")],
    }


def trial_of(backend: str) -> Callable[[Device], Json]:
    """The reference trainer of that backend on the device: it has to pass, if it can run there."""

    def trial(device: Device) -> Json:
        try:
            get_backend(backend, "float32", device.name)
        except InputError as error:
            return {"passed": True, "reason": f"left out: {error}"}
        claims = ("gradient-step", "trajectory") if device.small else ()
        found = _trial(device, [backend, "--device", device.name], claims)
        return found | {"passed": found["code"] == 0}

    return trial


def unasked(device: Device) -> Json:
    """TF32 that nobody asked for: the trial has to catch it."""
    attribute = "Rounded" if device.small else "Tf32Unasked"
    found = _trial(device, [f"card_trainers:{attribute}"], ("gradient-step",))
    return found | {"passed": "gradient-step" in found.get("failed", [])}


def _problem(device: Device, dim: int, neurons: int, samples: int, dtype: Any) -> dict[str, Any]:
    torch = device.torch
    generator = torch.Generator(device=device.name).manual_seed(dim)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, device=device.name, dtype=dtype, generator=generator)

    X = normal(samples, dim)
    W = normal(neurons, dim) / dim**0.5
    a = (
        torch.where(torch.arange(neurons, device=device.name) % 2 == 0, 1.0, -1.0).to(dtype)
        / neurons
    )
    y = (X[:, 0] ** 2 - 1) / 2**0.5
    return {"X": X, "W": W, "a": a, "b": torch.zeros_like(a), "y": y}


def _step(device: Device, problem: dict[str, Any], dtype: str) -> Callable[[], Any]:
    """One step of the library's own pass on arrays that are on the device already."""
    from mimverify.designs import StoredDesign
    from mimverify.network import get_activation, get_loss
    from mimverify.training.gradient import Objective, first_layer_gradient

    backend = get_backend("torch", dtype, device.name)
    design = StoredDesign(problem["X"], backend)
    objective = Objective(get_loss("huber"), problem["y"])
    weights = [problem[name] for name in "Wab"]
    return lambda: first_layer_gradient(design, objective, *weights, get_activation("log-cosh"))


def bench(device: Device) -> Json:
    """A step against its two bare products, and its growth with d at n = r d."""
    torch = device.torch
    memory = device.describe()["memory"]
    dims = (128, 256) if device.small else (512, 1024, 2048, 4096, 8192, 16384, 32768)
    ratio = 16
    while 4 * ratio * dims[-1] ** 2 > 0.6 * memory and ratio > 1:
        ratio //= 2
    rows = []
    for dim in dims:
        for neurons in (16, 64):
            problem = _problem(device, dim, neurons, ratio * dim, torch.float32)
            X, W = problem["X"], problem["W"]
            R = torch.empty(len(X), neurons, device=device.name)
            G = torch.empty_like(W)

            def products(X: Any = X, W: Any = W, R: Any = R, G: Any = G) -> None:
                torch.matmul(X, W.T, out=R)
                torch.matmul(R.T, X, out=G)

            step = _step(device, problem, "float32")
            bare, ours = device.seconds(products), device.seconds(step)
            flops = 4 * len(X) * dim * neurons
            taken = float(np.median(ours))
            rows.append({
                "dim": dim, "neurons": neurons, "samples": len(X),
                "seconds": taken, "products": float(np.median(bare)),
                "flops": flops / taken, "bytes": 4 * X.numel() / taken,
            })  # fmt: skip
            del problem, X, W, R, G, step, products
            if not device.small:
                torch.cuda.empty_cache()
    slopes = {}
    for neurons in (16, 64):
        own = [row for row in rows if row["neurons"] == neurons]
        own = own[-4:]  # smaller ones do not fill the card
        x, t = (np.log([row[name] for row in own]) for name in ("dim", "seconds"))
        slopes[str(neurons)] = float(np.polyfit(x, t, 1)[0])
    return {"passed": True, "ratio": ratio, "rows": rows, "slopes": slopes}


def command(device: Device) -> Json:
    """`mimverify bench --device`: the step as it is timed beside others."""
    record = RECORDS / "bench.json"
    record.unlink(missing_ok=True)
    dims = ("64",) if device.small else ("1024", "4096")
    words = [sys.executable, "-m", "mimverify", "bench", "--device", device.name, "-q"]
    words += ["-m", "64", "--start", "general", "--rounds", "3", "--json", str(record)]
    words += [word for dim in dims for word in ("-d", dim)]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, check=False, text=True)
    if not record.exists():
        return {"passed": False, "output": (ended.stdout + ended.stderr)[-4000:]}
    ratios = {}
    for case in parse_json(record.read_bytes(), str(record))["cases"]:
        found = case["contenders"][f"torch on {device.name}"]["to_products"]
        ratios[str(case["dim"])] = None if found is None else found["median"]
    shown = ", ".join(
        f"{'not timed' if ratio is None else format(ratio, '.2f')} × its two products at d = {dim}"
        for dim, ratio in ratios.items()
    )
    return {"passed": ended.returncode == 0, "ratios": ratios, "reason": shown}


def formats(device: Device) -> Json:
    """TF32 and bfloat16 on request: within the rounding bound of a step in their precision?

    Each product of two entries carries two roundings of unit u, each sum those of float32: the
    bound is that of float32 with 2u + its own unit in its place, to first order.
    """
    torch = device.torch
    dim, neurons, samples = 256, 16, 4096
    problem = _problem(device, dim, neurons, samples, torch.float32)
    host = {name: value.double().cpu().numpy() for name, value in problem.items()}
    exact = _products(np, host["X"], host["W"])
    size = _products(np, np.abs(host["X"]), np.abs(host["W"]))
    found: Json = {"passed": True}
    for name, dtype, precision, unit in (
        ("float32", torch.float32, "highest", 2.0**-24),
        ("tf32", torch.float32, "high", 2.0**-11),
        ("bfloat16", torch.bfloat16, "highest", 2.0**-8),
    ):
        X, W = problem["X"].to(dtype), problem["W"].to(dtype)
        with device.float32_products(precision):
            result = _products(torch, X, W).double().cpu().numpy()
        sums = (dim + samples) * 2.0**-24
        # Both factors of either product, and the result between them, are rounded to the format.
        bound = (1 + unit) ** 6 * (1 + sums) - 1
        worst = float((np.abs(result - exact) / size).max())
        found[name] = {"worst": worst, "bound": bound, "within": worst <= bound}
        found["passed"] &= worst <= bound
    return found


def _products(xp: Any, X: Any, W: Any) -> Any:
    return (X @ W.T).T @ X


#: Parts, with the seconds that each may take: 8 minutes in all.
PARTS: dict[str, tuple[Callable[[Device], Json], int]] = {
    "peaks": (peaks, 30),
    "formats": (formats, 30),
    "tests": (tests, 100),
    "unasked": (unasked, 50),
    "trial": (trial_of("torch"), 150),
    # Where their libraries are installed for the card.
    **{f"trial-{name}": (trial_of(name), 150) for name in BACKENDS_WITH_DEVICES if name != "torch"},
    "command": (command, 40),
    "bench": (bench, 80),
}


def run_parts(device: Device, fresh: bool) -> dict[str, Json]:
    """The record of every part, from `build/gpu/` where this card and commit have it already."""
    folder = RECORDS / _slug(f"{device.describe()['card']} {_commit()}")
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, (_, limit) in PARTS.items():
        path = folder / f"{name}.json"
        if path.exists() and not fresh:
            found[name] = parse_json(path.read_bytes(), str(path))
            print(f"{name}: kept", flush=True)
            continue
        start = time.perf_counter()
        # A dry run shares its cores with whatever else runs.
        found[name] = _in_process(name, device.name, 5 * limit if device.small else limit)
        found[name]["wall"] = time.perf_counter() - start
        if found[name].get("passed", True):  # others are tried again
            atomic_write(path, json.dumps(jsonable(found[name]), indent=2).encode())
        state = "passed" if found[name].get("passed", True) else "FAILED"
        print(f"{name}: {state} in {found[name]['wall']:.0f} s", flush=True)
    return found


def _in_process(name: str, device: str, limit: int) -> Json:
    words = [sys.executable, __file__, "--device", device, "--part", name]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    try:
        ended = subprocess.run(
            words, env=os.environ | {"PYTHONPATH": path}, capture_output=True, check=False,
            text=True, timeout=limit,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"passed": False, "reason": f"did not end within {limit} s"}
    if ended.returncode:
        return {"passed": False, "reason": ended.stderr.strip()[-1000:]}
    record: Json = parse_json(ended.stdout.splitlines()[-1].encode(), name)
    return record


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text)


def _commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    return asked.stdout.strip() or "no-commit"


def table(about: Json, found: dict[str, Json]) -> str:
    """The page's part that is measured, as Markdown."""
    lines = [
        f"Measured on {about['card']} (Torch {about['torch']}, CUDA "
        f"{about.get('cuda') or 'none'}), commit {_commit()}.",
        "",
        "| part | result |",
        "|---|---|",
    ]
    for name, record in found.items():
        state = "passed" if record.get("passed", True) else "**failed**"
        more = record.get("reason") or record.get("summary") or ""
        if isinstance(more, dict):
            more = ", ".join(f"{count} {status}" for status, count in more.items())
        if name == "unasked" and "failed" in record:
            more = f"caught by {', '.join(record['failed']) or 'no claim'}"
        words = " ".join(str(more).split()).replace("|", "/")[:200]
        lines.append(f"| {name} | {state}{': ' + words if words else ''} |")
    peak, measured = found.get("peaks", {}), found.get("bench", {})
    if "bandwidth" in peak:
        rates = ", ".join(
            f"{name} {peak[name] / 1e12:.3g} TFLOP/s"
            for name in ("float32", "tf32", "bfloat16", "float64")
        )
        lines += ["", f"Peaks, measured: {peak['bandwidth'] / 1e9:.4g} GB/s (copy); {rates}."]
    if "rows" in measured and "bandwidth" in peak:
        lines += [
            "",
            "| d | m | n | ms | × two products | of peak arithmetic | of peak bandwidth |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in measured["rows"]:
            lines.append(
                f"| {row['dim']} | {row['neurons']} | {row['samples']} | "
                f"{1e3 * row['seconds']:.3g} | "
                f"{row['seconds'] / row['products']:.2f} | {row['flops'] / peak['float32']:.0%} | "
                f"{row['bytes'] / peak['bandwidth']:.0%} |"
            )
        slopes = ", ".join(f"{value:.2f} (m = {m})" for m, value in measured["slopes"].items())
        lines += ["", f"Time of a step at n = {measured['ratio']} d goes with d^k, k = {slopes}."]
    if "tf32" in found.get("formats", {}):
        lines += ["", "| format on request | largest error | bound |", "|---|---|---|"]
        for name in ("float32", "tf32", "bfloat16"):
            at = found["formats"][name]
            lines.append(f"| {name} | {at['worst']:.2g} | {at['bound']:.2g} |")
    return "\n".join(lines)


def write_page(text: str, device: Device) -> Path:
    """docs/gpu.md with this between its markers; in a dry run another file, so that no one takes
    its numbers for a card's."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    target = RECORDS / "dry-run.md" if device.small else PAGE
    atomic_write(target, f"{before}{BEGIN}\n\n{text}\n\n{END}{after}".encode())
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--fresh", action="store_true", help="measure again what is kept")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    device = Device(given.device)
    if not device.available:
        print("no CUDA device: nothing was run (try the script with --device cpu)", file=sys.stderr)
        return NO_DEVICE
    if given.part:
        print(json.dumps(jsonable(PARTS[given.part][0](device))))
        return 0
    found = run_parts(device, given.fresh)
    written = write_page(table(device.describe(), found), device)
    print(f"written: {written}")
    return 0 if all(record.get("passed", True) for record in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
