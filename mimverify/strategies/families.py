"""Families of random links, each member with a name that `get_link` gives back.

Polynomials and ReLU networks are links of mimverify's own; trigonometric links, compositions
and odd links are attributes of this module, such as
`"mimverify.strategies.families:trigonometric_r2_s7"`, made on first access.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from mimverify.problems import Link, get_link
from mimverify.problems.links import hermite
from mimverify.support.arrays import Float64Array
from mimverify.support.validation import choice, integer

__all__ = ["FAMILIES", "ODD_FAMILIES", "family_link"]

Function = Callable[[Float64Array], Float64Array]

#: Families that mostly lie inside the theorem's assumptions, simplest first.
FAMILIES = ("polynomial", "trigonometric", "relu-network", "composition")
#: Odd links, for which every symmetric loss has Λ = 0: outside.
ODD_FAMILIES = ("odd-polynomial", "sine")

_OUTER: tuple[tuple[str, Function], ...] = (
    ("tanh", np.tanh),
    ("cos", np.cos),
    ("abs", np.abs),
    ("relu", lambda u: np.maximum(u, 0.0)),
)


def family_link(family: str, rank: int = 1, seed: int = 0) -> Link:
    """The member of a family that `seed` numbers.

    **Raises** `InputError` for an unknown family, a rank below 1 or a negative seed.
    """
    family = choice("family", family, (*FAMILIES, *ODD_FAMILIES))
    rank = integer("rank", rank, minimum=1)
    seed = integer("seed", seed, minimum=0)
    if family == "polynomial":
        return get_link(f"polynomial:rank={rank},degree=4,seed={seed}")
    if family == "relu-network":
        return get_link(f"relu-network:rank={rank},width={4 * rank},seed={seed}")
    return _own(family, rank, seed)


@lru_cache(maxsize=128)
def _own(family: str, rank: int, seed: int) -> Link:
    # One object for one name: results are cached by the link object.
    function, formula = _OWN[family](rank, np.random.default_rng([seed, rank, len(family)]))
    attribute = f"{family.replace('-', '_')}_r{rank}_s{seed}"
    return Link(f"{__name__}:{attribute}", rank, function, formula)


def _trigonometric(rank: int, rng: np.random.Generator) -> tuple[Function, str]:
    frequencies, phases, heights = _waves(rank, rng)
    return lambda z: np.cos(z @ frequencies.T + phases) @ heights, "Σ c_k cos(ω_k·z + φ_k)"


def _sine(rank: int, rng: np.random.Generator) -> tuple[Function, str]:
    frequencies, _, heights = _waves(rank, rng)
    return lambda z: np.sin(z @ frequencies.T) @ heights, "Σ c_k sin(ω_k·z)"


def _waves(rank: int, rng: np.random.Generator) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Frequencies `(K, r)` of length 1 to 2, phases and heights `(K,)` of two waves a feature."""
    count = 2 * rank
    frequencies = rng.standard_normal((count, rank))
    frequencies *= (rng.uniform(1, 2, count) / np.linalg.norm(frequencies, axis=1))[:, None]
    heights = rng.standard_normal(count)
    heights *= np.sqrt(2) / np.linalg.norm(heights)
    return frequencies, rng.uniform(0, 2 * np.pi, count), heights


def _composition(rank: int, rng: np.random.Generator) -> tuple[Function, str]:
    """h(zᵀ A z + b·z), A random symmetric of norm 1."""
    name, outer = _OUTER[int(rng.integers(len(_OUTER)))]
    form = rng.standard_normal((rank, rank))
    form = form + form.T
    form /= np.linalg.norm(form)
    linear = rng.standard_normal(rank) / (2 * np.sqrt(rank))
    return (
        lambda z: outer(np.einsum("ni,ij,nj->n", z, form, z) + z @ linear),
        f"{name}(zᵀAz + b·z)",
    )


def _odd_polynomial(rank: int, rng: np.random.Generator) -> tuple[Function, str]:
    """Σ c_k He_3(w_k·z)/√6 + b·z."""
    directions = rng.standard_normal((rank, rank))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    heights, linear = rng.standard_normal(rank), rng.standard_normal(rank)
    return (
        lambda z: hermite(3, z @ directions.T) @ heights / np.sqrt(6) + z @ linear,
        "Σ c_k He_3(w_k·z) + b·z",
    )


_OWN: dict[str, Callable[[int, np.random.Generator], tuple[Function, str]]] = {
    "trigonometric": _trigonometric,
    "composition": _composition,
    "odd-polynomial": _odd_polynomial,
    "sine": _sine,
}
_ATTRIBUTE = re.compile(r"([a-z_]+)_r([1-9]\d?)_s(\d{1,9})")


def __getattr__(name: str) -> Link:
    match = _ATTRIBUTE.fullmatch(name)
    family = match[1].replace("_", "-") if match else None
    if match is None or family not in _OWN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _own(family, int(match[2]), int(match[3]))
