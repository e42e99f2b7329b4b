"""Link functions g: what a multi-index model computes from its hidden features.

A link maps hidden features z of shape `(n, r)` to labels of shape `(n,)`. Named links
live in `LINKS`; a specification such as `"cos2z"`, `"quadratic:1,-0.5"`,
`"polynomial:rank=2,degree=4,seed=7"` or `"my_module:my_link"` is resolved by `get_link`.
Source of the named links: theory.md §5–§7.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial.hermite_e import hermeval

from mimverify.problems.streams import cut_rows
from mimverify.support.arrays import ArrayLike, Float64Array, FloatArray
from mimverify.support.errors import InputError
from mimverify.support.importing import load_attribute, summarise
from mimverify.support.validation import canonical, choice, integer, number, shortest

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

#: Of hidden features `(n, r)`; what it returns is checked at each call.
Function = Callable[[Float64Array], ArrayLike]


@dataclass(frozen=True)
class Link:
    """A link function of `rank` hidden features.

    **Arguments**

    - `name`: the specification that gives this link back.
    - `rank`: r, the number of hidden features.
    - `function`: maps z `(n, r)` to `(n,)`, float64, without side effects: several threads may
      call it at once.
    - `formula`: for people.
    - `polynomial`: whether the function is one, as the paper asks (theory.md §2); None: not known.
    """

    name: str
    rank: int
    function: Function
    formula: str = ""
    polynomial: bool | None = None

    def __call__(self, z: Float64[Float64Array, "n r"]) -> Float64[Float64Array, " n"]:
        """Labels `(n,)` of hidden features z `(n, r)`.

        The function gets a read-only view of z.

        **Raises** `InputError` where the function raises, or returns another shape, something
        that is not real, or a value that is not finite.
        """
        z = z.view()
        z.flags.writeable = False
        try:
            y = np.asarray(self.function(z))
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"link {self.name}: raised {summarise(error)}") from error
        if y.shape != (z.shape[0],):
            raise InputError(
                f"link {self.name}: returned shape {y.shape} for z of shape {z.shape}: "
                f"expected ({z.shape[0]},)"
            )
        if y.dtype.kind not in "fiub":
            raise InputError(f"link {self.name}: returned dtype {y.dtype}: expected real numbers")
        y = y.astype(np.float64)
        if not np.isfinite(y).all():
            row = int(np.argmin(np.isfinite(y)))
            raise InputError(f"link {self.name}: g({z[row]}) = {y[row]}: expected finite labels")
        return y


def hermite(degree: int, z: Float[FloatArray, "*z"]) -> Float64[Float64Array, "*z"]:
    """Probabilists' Hermite polynomial He_degree(z), not normalised (variance degree!)."""
    return np.asarray(hermeval(z, [0.0] * degree + [1.0]))


# Rows of which a polynomial's many terms stay in the cache.
_POLYNOMIAL_ROWS = 4096


def _fixed(
    name: str, rank: int, formula: str, function: Function, *, polynomial: bool = False
) -> Callable[[], Link]:
    return lambda: Link(name, rank, function, formula, polynomial)


def quadratic(*eigenvalues: float) -> Link:
    """Σ_k λ_k (z_k² − 1)/2, whose matrix Λ for T = y has exactly the given eigenvalues."""
    values = np.array([number("eigenvalue", e) for e in eigenvalues or (1.0, 0.5)])
    if not values.any():
        raise InputError(f"quadratic: eigenvalues={values.tolist()}: expected one that is not zero")
    name = "quadratic:" + ",".join(shortest(e) for e in values)
    return Link(
        name,
        len(values),
        lambda z: 0.5 * (z**2 - 1) @ values,
        "Σ λ_k (z_k² − 1)/2",
        polynomial=True,
    )


def polynomial(rank: int = 2, degree: int = 4, seed: int = 0) -> Link:
    """A random polynomial of exact total degree, unit variance, mean zero.

    Independent Gaussian coefficients over the orthonormal Hermite products of total
    degree 1 … `degree`, divided by their norm: the variance is then exactly one.
    """
    from scipy.special import factorial

    rank, degree = integer("rank", rank, minimum=1), integer("degree", degree, minimum=1)
    indices = [k for k in product(range(degree + 1), repeat=rank) if 1 <= sum(k) <= degree]
    rng = np.random.default_rng([integer("seed", seed, minimum=0), 0x706F6C79])
    coefficients = rng.standard_normal(len(indices))
    coefficients /= np.linalg.norm(coefficients)
    norms = np.sqrt(factorial(np.arange(degree + 1)))

    def function(z: Float64Array) -> Float64Array:
        total = np.zeros(len(z))
        for rows in cut_rows(slice(0, len(z)), _POLYNOMIAL_ROWS):
            powers = [
                [hermite(k, features) / norms[k] for k in range(1, degree + 1)]
                for features in z[rows].T
            ]
            for coefficient, index in zip(coefficients, indices, strict=True):
                term = np.full(rows.stop - rows.start, coefficient)
                for axis, k in enumerate(index):
                    if k:  # He_0 = 1
                        term *= powers[axis][k - 1]
                total[rows] += term
        return total

    name = f"polynomial:rank={rank},degree={degree},seed={seed}"
    return Link(name, rank, function, "Σ c_k He_k(z), c random", polynomial=True)


def relu_network(rank: int = 2, width: int = 8, seed: int = 0) -> Link:
    """A random two-layer ReLU network Σ_k c_k relu(w_k·z + b_k), w_k uniform on the sphere."""
    rank, width = integer("rank", rank, minimum=1), integer("width", width, minimum=1)
    rng = np.random.default_rng([integer("seed", seed, minimum=0), 0x72656C75])
    w = rng.standard_normal((width, rank))
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    b, c = rng.standard_normal(width), rng.standard_normal(width) / np.sqrt(width)
    name = f"relu-network:rank={rank},width={width},seed={seed}"
    return Link(
        name,
        rank,
        lambda z: np.maximum(z @ w.T + b, 0.0) @ c,
        "Σ c_k relu(w_k·z + b_k)",
        polynomial=False,
    )


def _sign_product(z: Float64Array) -> Float64Array:
    return np.asarray(np.prod(np.sign(z), axis=1))


#: Named links: each entry builds a `Link` from the parameters after the colon.
LINKS: dict[str, Callable[..., Link]] = {
    "he2": _fixed(
        "he2", 1, "(z² − 1)/√2", lambda z: hermite(2, z[:, 0]) / np.sqrt(2), polynomial=True
    ),
    "he3": _fixed(
        "he3", 1, "(z³ − 3z)/√6", lambda z: hermite(3, z[:, 0]) / np.sqrt(6), polynomial=True
    ),
    "phase-retrieval": _fixed("phase-retrieval", 1, "z²", lambda z: z[:, 0] ** 2, polynomial=True),
    "abs": _fixed("abs", 1, "|z|", lambda z: np.abs(z[:, 0])),
    "cos2z": _fixed("cos2z", 1, "cos 2z", lambda z: np.cos(2 * z[:, 0])),
    "relu-sum": _fixed(
        "relu-sum", 2, "relu(z1) + relu(z2)", lambda z: np.maximum(z, 0.0).sum(axis=1)
    ),
    "z1z2": _fixed("z1z2", 2, "z1 z2", lambda z: np.prod(z, axis=1), polynomial=True),
    "z1z2z3": _fixed("z1z2z3", 3, "z1 z2 z3", lambda z: np.prod(z, axis=1), polynomial=True),
    "sign-z1z2": _fixed("sign-z1z2", 2, "sign(z1 z2)", _sign_product),
    "sign-z1z2z3": _fixed("sign-z1z2z3", 3, "sign(z1 z2 z3)", _sign_product),
    "quadratic": quadratic,
    "he2-mix": _fixed(
        "he2-mix",
        2,
        "He2(z1) + 0.6 He2(z2)",
        lambda z: hermite(2, z[:, 0]) + 0.6 * hermite(2, z[:, 1]),
        polynomial=True,
    ),
    "he2-he3": _fixed(
        "he2-he3",
        2,
        "He2(z1) + He3(z2)",
        lambda z: hermite(2, z[:, 0]) + hermite(3, z[:, 1]),
        polynomial=True,
    ),
    "tanh3": _fixed(
        "tanh3",
        3,
        "tanh(z1 z2) + 0.7 |z3|",
        lambda z: np.tanh(z[:, 0] * z[:, 1]) + 0.7 * np.abs(z[:, 2]),
    ),
    "polynomial": polynomial,
    "relu-network": relu_network,
}


def get_link(link: Link | str, *, rank: int | None = None) -> Link:
    """The link that a specification names; a `Link` is returned as it is.

    **Arguments**

    - `link`: a `Link`, a registered name with optional parameters after a colon
      (`"polynomial:rank=2,degree=4"`), or `"module:attribute"` naming a `Link` or any
      callable z `(n, r)` → `(n,)`.
    - `rank`: r, for a callable that has no `rank` attribute of its own.

    **Raises** `InputError` for an unknown name, wrong parameters, or a module or
    attribute that cannot be imported.
    """
    if isinstance(link, Link):
        resolved = link
    elif not isinstance(link, str):
        raise InputError(f"link={link!r}: expected a Link or a name")
    else:
        head, _, parameters = link.partition(":")
        known = {canonical(name): name for name in LINKS}
        if canonical(head) in known:
            resolved = _build(known[canonical(head)], parameters)
        elif parameters:
            return _import_link(link, rank)
        else:
            choice("link", link, LINKS)  # raises, with the nearest name
            raise AssertionError("unreachable")
    if rank is not None and rank != resolved.rank:
        raise InputError(f"rank={rank}: link {resolved.name} has rank {resolved.rank}")
    return resolved


@lru_cache(maxsize=128)
def _build(name: str, parameters: str) -> Link:
    # One object for one specification: results are cached by the link object.
    factory = LINKS[name]
    positional: list[float] = []
    named: dict[str, int] = {}
    accepted = list(inspect.signature(factory).parameters.values())
    variadic = any(p.kind is p.VAR_POSITIONAL for p in accepted)
    for part in filter(None, parameters.split(",")):
        key, equals, text = part.partition("=")
        try:
            if equals:
                named[key.strip()] = int(text)
            else:
                positional.append(float(part))
        except ValueError:
            raise InputError(f"link {name}: parameter {part!r}: expected a number") from None
    unknown = sorted(set(named) - {p.name for p in accepted if p.kind is not p.VAR_POSITIONAL})
    if unknown or (positional and not variadic):
        takes = ", ".join(
            "numbers" if p.kind is p.VAR_POSITIONAL else f"{p.name}=…" for p in accepted
        )
        raise InputError(f"link {name}:{parameters}: takes {takes or 'no parameters'}")
    return factory(*positional, **named)


def _import_link(spec: str, rank: int | None) -> Link:
    try:
        target = load_attribute("link", spec)
    except InputError as error:
        raise InputError(f"link={spec!r}: neither a named link nor importable ({error})") from None
    if isinstance(target, Link):
        return get_link(replace(target, name=spec), rank=rank)
    if not callable(target):
        raise InputError(f"link={spec!r}: expected a callable, got {type(target).__name__}")
    found = getattr(target, "rank", rank)
    if found is None:
        raise InputError(f"link={spec!r}: has no attribute `rank`; give the rank explicitly")
    if rank is not None and found != rank:
        raise InputError(f"rank={rank}: link {spec} has rank {found}")
    return Link(
        spec, integer("rank", found, minimum=1), target, getattr(target, "__doc__", "") or ""
    )
