"""Random experiments of affordable cost."""

from __future__ import annotations

from itertools import product

from hypothesis import strategies as st

from mimverify.experiment import ExperimentConfig
from mimverify.network import ACTIVATIONS, DEFAULT_LOSS, LOSSES, get_loss
from mimverify.problems import Link
from mimverify.strategies.choices import choices
from mimverify.strategies.links import links
from mimverify.support.errors import InputError
from mimverify.support.validation import number

__all__ = ["configurations"]

_DIMS = (16, 8, 12, 32, 64, 128, 256, 512)
_RATIOS = (4, 2, 8, 16, 64)
_STEPS = (3, 1, 2, 5, 8, 16)
_NEURONS = (8, 2, 4, 16, 64, 256)
# The simplest draws first: the default, and losses whose derivative jumps at the end.
_LOSSES = sorted(LOSSES, key=lambda name: (name != DEFAULT_LOSS, not get_loss(name).smooth))
_ACTIVATIONS = [name for name, sigma in ACTIVATIONS.items() if sigma.even and sigma.inside_theorem]


def configurations(
    cost: float = 1e8, *, link: st.SearchStrategy[Link] | None = None
) -> st.SearchStrategy[ExperimentConfig]:
    """Configurations whose stage 1 takes at most `cost` floating-point operations.

    Sizes are drawn together, 4 T m n d ≤ cost (theory.md §2), with links, losses, activations,
    dtypes, noise and seeds inside the theorem's setting.

    **Arguments**

    - `cost`: 1e8 is some hundredths of a second of stage 1 on one core.
    - `link`: a strategy for the link, `links()` by default.

    **Raises** `InputError` where no size is so cheap.
    """
    cost = number("cost", cost, minimum=0.0)
    sizes = [
        size
        for size in product(_DIMS, _RATIOS, _STEPS, _NEURONS)
        if 4 * size[2] * size[3] * size[1] * size[0] ** 2 <= cost
    ]
    if not sizes:
        cheapest = 4 * min(_STEPS) * min(_NEURONS) * min(_RATIOS) * min(_DIMS) ** 2
        raise InputError(f"cost={cost:g}: expected at least {cheapest} operations")

    def build(
        link: Link, size: tuple[int, ...], loss: str, activation: str, dtype: str, noise: float,
        seed: int,
    ) -> ExperimentConfig:  # fmt: skip
        dim, ratio, steps, neurons = size
        return ExperimentConfig(
            link,
            dim=dim,
            samples=ratio * dim,
            steps=steps,
            neurons=neurons,
            loss=loss,
            activation=activation,
            dtype=dtype,
            noise=noise,
            seed=seed,
            readout_neurons=32,
            test_samples=1000,
            baselines=False,
        )

    return st.builds(
        build,
        links() if link is None else link,
        choices(sizes),
        choices(_LOSSES),
        choices(_ACTIVATIONS),
        choices(("float64", "float32")),
        choices((0.0, 0.3)),
        choices(range(256)),
    )
