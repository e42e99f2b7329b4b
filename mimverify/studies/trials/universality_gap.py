"""How far other inputs may be from their Gaussian limit at finite d, to first order.

Inputs x with independent entries of fourth cumulant κ₄ and a direction u that is spread out. Of
z = u·x and of the squared length s² = ‖x⊥‖²/d, first order in 1/d has, beyond the Gaussian law,

    κ₄(z) = κ₄ Σ_k u_k⁴ ≈ 3κ₄/d,    Var s² = κ₄/d,    Cov(z², s²) = κ₄/d,

and D1 depends on a row through z and through x⊥ᵀGx⊥ ≈ d g s² (docs/theory-engine.md, §3): s²
multiplies T. So D1 is computed with the Edgeworth weight 1 + κ₄(z) He₄(z)/24 and with T s² in place
of T; how far it moves is what universality leaves out. A sphere acts like κ₄ = −2: it fixes what
varies by 2/d. Derived for this package. Fluctuations between data sets change as well, and are not
included: a size, no correction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.special import logit

from mimverify.network.losses import get_loss
from mimverify.problems.links import get_link
from mimverify.studies.trials._parameters import PROBLEM, completed
from mimverify.support.arrays import Float64Array
from mimverify.support.strict_json import Json
from mimverify.theory import LabelLaw, label_law, label_measure
from mimverify.theory.trajectory import alignments

VERSION = 1

# κ₄ by which the law is moved: small, so that the first order is what is seen.
_SIZE = 0.1
_NEEDED = ("link", "dim", "samples", "steps", "cumulant")


def complete(given: Mapping[str, object]) -> Json:
    """All parameters, as of `mimverify predict`; `cumulant` is κ₄ of an entry."""
    return completed(given, _NEEDED, PROBLEM)


def cost(p: Mapping) -> float:
    """Seconds of one thread, very roughly."""
    return 0.2


def run(parameters: Mapping) -> Json:
    """`log_odds`: how far those of D1 move, after 0 … T steps."""
    p = complete(parameters)
    law = label_law(get_link(p["link"]), get_loss(p["loss"]), noise=p["noise"])

    def log_odds(of: LabelLaw) -> Float64Array:
        measure = label_measure(of, fourth_moments=False)
        return np.asarray(logit(alignments(measure, p["dim"], p["samples"], p["steps"])))

    # To first order the shift is linear in κ₄; of κ₄ < 0 there is no s² that varies less.
    shift = log_odds(_moved(law, _SIZE / p["dim"])) - log_odds(law)
    return {"log_odds": (p["cumulant"] / _SIZE * shift).tolist()}


def _moved(law: LabelLaw, size: float) -> LabelLaw:
    """The law with κ₄/d = `size`: each node twice, at its mean s² plus and minus a deviation."""
    z = law.z
    fourth = (z**4 - 6 * z**2 + 3).sum(axis=1)
    weights = law.weights * (1 + 3 * size / 24 * fourth)
    scale = 1 + size / 2 * (z**2 - 1).sum(axis=1)
    T = law.T - float(law.T @ weights)  # the constant is fitted to these labels
    doubled = {name: np.concatenate([getattr(law, name)] * 2) for name in ("z", "y")}
    return replace(
        law,
        **doubled,
        weights=np.concatenate([weights, weights]) / 2,
        T=np.concatenate([T * (scale + math.sqrt(size)), T * (scale - math.sqrt(size))]),
        check=None,
    )
