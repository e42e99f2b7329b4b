"""Train on a Gaussian matrix that is never stored, and measure the cost.

    python examples/beyond_memory.py [d [n [backend]]]

The reference trainer, m = 8 neurons, two steps; by default d = 10⁵ and n = 10⁶, a matrix
of 400 GB. The whole run (labels, centring, both steps) is compared with drawing as many
normals with the backend's own generator, in the same process; "the rest" is start, link,
centring, copies and waiting. For d = 10⁶:

    python examples/beyond_memory.py 1e6 2e7
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
import torch

from mimverify import LayerwiseTrainer, MultiIndexModel, alignment
from mimverify.backends import get_backend
from mimverify.designs import LazyGaussianDesign

NEURONS, STEPS, DTYPE = 8, 2, "float32"


@dataclass(frozen=True)
class Run:
    """What one run took: seconds in all and by kind of work, and directions on both sides."""

    seconds: float
    kinds: dict[str, float]
    right: int
    left: int
    alignment: float


def train(dim: int, samples: int, backend: str) -> Run:
    start = time.perf_counter()
    arrays = get_backend(backend, DTYPE)
    model = MultiIndexModel("cos2z", dim)
    design = LazyGaussianDesign(samples, dim, arrays, right=9, left=8)
    z = arrays.to_numpy(design.project(arrays.asarray(model.subspace)))
    y = model.labels(z, dtype=DTYPE)
    trainer = LayerwiseTrainer(backend=backend, dtype=DTYPE, neurons=NEURONS, steps=STEPS)
    trainer.fit_first_layer(design, y)
    whole = time.perf_counter() - start
    kinds = {kind: spent / design.threads for kind, spent in design.cost().items()}
    reached = alignment(trainer.network_.W, model.subspace)
    return Run(whole, kinds, design.right, design.left, reached)


def draw(rows: int, length: int, backend: str) -> None:
    """Normals, a row at a time, by one call of the backend's default generator each."""
    generator = np.random.default_rng(0)
    for _ in range(rows):
        if backend == "torch":
            torch.randn(length)
        else:
            generator.standard_normal(length, dtype=np.float32)


def main() -> None:
    dim = int(float(sys.argv[1])) if len(sys.argv) > 1 else 10**5
    samples = int(float(sys.argv[2])) if len(sys.argv) > 2 else 10**6
    backends = sys.argv[3:] or ["numpy", "torch"]
    print(f"d = {dim}, n = {samples}: X would take {4 * dim * samples / 1e9:,.0f} GB")
    for backend in backends:
        train(1000, 1000, backend)  # warm-up: imports, thread pools
        report(dim, samples, backend)


def report(dim: int, samples: int, backend: str) -> None:
    """Run and draw alternately, three times; the round with the median ratio is shown."""
    rounds = []
    for _ in range(3):
        run = train(dim, samples, backend)
        start = time.perf_counter()
        draw(run.right, samples, backend)
        draw(run.left, dim, backend)
        rounds.append((run.seconds / (time.perf_counter() - start), run))
    rounds.sort(key=lambda found: found[0])
    ratio, run = rounds[1]
    ratios = ", ".join(f"{found:.2f}" for found, _ in rounds)
    print(f"\n{backend}: alignment {run.alignment:.2g}, {run.right} + {run.left} directions")
    print(f"  the run took {ratio:.2f} times as long as drawing its normals ({ratios})")
    rest = run.seconds - sum(run.kinds.values())
    for kind, seconds in {**run.kinds, "the rest": rest}.items():
        print(f"  {kind:<18}{seconds / run.seconds:6.1%}")


if __name__ == "__main__":
    main()
