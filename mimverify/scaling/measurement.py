"""One measured alignment, on a design that is never stored."""

from __future__ import annotations

import numpy as np

from mimverify.backends import get_backend
from mimverify.designs.lazy import LazyGaussianDesign, lazy_bytes
from mimverify.network.losses import Loss
from mimverify.problems.links import Link
from mimverify.problems.model import MultiIndexModel
from mimverify.problems.streams import Stream
from mimverify.scaling.start import balanced_start
from mimverify.training.trainer import LayerwiseTrainer

_START = 0x73  # key of the start's random stream

# Bytes per sample beside the bases: the label, and its copy in float64 while c is fitted.
_LABEL_BYTES = 12


def measured_log_odds(
    link: Link,
    loss: Loss,
    *,
    dim: int,
    samples: int,
    steps: int,
    repeats: int = 1,
    noise: float = 0.0,
    backend: str = "numpy",
    dtype: str = "float32",
    seed: int = 0,
    threads: int | None = None,
) -> float:
    """log A/(1 − A) after `steps` steps of the reference trainer from a balanced start.

    **Arguments**

    - `repeats`: of `balanced_start`.
    - `seed`: of subspace, start and design.
    - the others: as in `ExperimentConfig`.
    """
    rank = link.rank
    right, left = _directions(rank, steps, repeats)
    library = get_backend(backend, dtype)
    model = MultiIndexModel(link, dim, noise=noise, seed=seed)
    design = LazyGaussianDesign(
        samples, dim, library, seed=seed, right=right, left=left, threads=threads
    )
    z = library.to_numpy(design.project(library.asarray(model.subspace)))
    y = model.labels(z, dtype=dtype)
    del z
    start = balanced_start(
        model.subspace, Stream(seed, _START).block(0), repeats=repeats, dtype=dtype
    )
    trainer = LayerwiseTrainer(backend=backend, dtype=dtype, start=start, steps=steps, loss=loss)
    W = trainer.fit_first_layer(design, y).network_.W
    # From both components, not from A: 1 − A would round where A is near 1.
    W = W.astype(np.float64)
    inside = W @ model.subspace.T
    outside = W - inside @ model.subspace
    return float(np.log((inside**2).sum()) - np.log((outside**2).sum()))


def half_bytes(dim: int, samples: int, rank: int, steps: int, repeats: int, dtype: str) -> int:
    """Bytes that `measured_log_odds` takes."""
    right, left = _directions(rank, steps, repeats)
    # Hidden features, and a copy of them, exist before the other side of the design does.
    features = max(0, 2 * rank - left) * np.dtype(dtype).itemsize
    return lazy_bytes(samples, dim, right, left, dtype) + samples * (_LABEL_BYTES + features)


def _directions(rank: int, steps: int, repeats: int) -> tuple[int, int]:
    """Directions projected on, on the right and on the left of the design.

    U itself; of the start only the w, which lie outside U; and at every later step two for
    each u and repeat.
    """
    pairs = 2 * rank * repeats
    return rank + max(pairs, pairs // 2 + pairs * (steps - 1)), pairs * steps
