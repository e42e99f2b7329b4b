"""Train on a Gaussian matrix that is never stored, and see what that costs.

    python examples/beyond_memory.py [d [n [backend]]]

The same trainer as always, m = 8 neurons, two steps; by default d = 10⁵ and n = 10⁶, a matrix
of 400 GB. The whole run (labels, centring, both steps) is compared with drawing as many
normals with the backend's own generator, in the same process. For d = 10⁶:

    python examples/beyond_memory.py 1e6 2e7
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch

from mimverify import LayerwiseTrainer, MultiIndexModel, alignment
from mimverify.backends import get_backend
from mimverify.designs import LazyGaussianDesign

NEURONS, STEPS, DTYPE = 8, 2, "float32"


def train(dim: int, samples: int, backend: str) -> tuple[LazyGaussianDesign, float]:
    """The design after a run, and the alignment reached."""
    place = get_backend(backend, DTYPE)
    model = MultiIndexModel("cos2z", dim)
    design = LazyGaussianDesign(samples, dim, place, right=9, left=8)
    z = place.to_numpy(design.project(place.asarray(model.subspace)))
    y = model.labels(z, dtype=DTYPE)
    trainer = LayerwiseTrainer(backend=backend, dtype=DTYPE, neurons=NEURONS, steps=STEPS)
    trainer.fit_first_layer(design, y)
    return design, alignment(trainer.network_.W, model.subspace)


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
        train(1000, 1000, backend)  # what is paid once: imports, thread pools
        report(dim, samples, backend)


def report(dim: int, samples: int, backend: str) -> None:
    start = time.perf_counter()
    design, reached = train(dim, samples, backend)
    whole = time.perf_counter() - start
    right, left = design.right, design.left
    start = time.perf_counter()
    draw(right, samples, backend)
    draw(left, dim, backend)
    normals = time.perf_counter() - start
    print(f"\n{backend}: alignment {reached:.2g}, {right} + {left} directions revealed")
    print(f"  the run took {whole / normals:.2f} times as long as drawing its normals")
    cost = {kind: spent / design.threads / whole for kind, spent in design.cost().items()}
    for kind, share in cost.items():
        print(f"  {kind:<18}{share:6.1%}")
    rest = 1 - sum(cost.values())
    print(f"  {'the rest':<18}{rest:6.1%}  (start, link, centring, copies, waiting)")


if __name__ == "__main__":
    main()
