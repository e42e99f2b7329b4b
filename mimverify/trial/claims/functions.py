"""Which activations and losses claims on the first layer are tried with, the theorem's own first.

All are read from the registries, so that a new one is tried where the mathematics lets it: with the
properties that its record declares, and, in claims that compare with the oracle, only if the oracle
has a formula of its own for it.
"""

from __future__ import annotations

import math

from mimverify.network import ACTIVATIONS, LOSSES, get_loss
from mimverify.network.losses import lipschitz_losses
from mimverify.trial.reference.oracle import ORACLE_ACTIVATIONS, ORACLE_LOSSES
from mimverify.trial.trainer.adapter import STANDARD_ACTIVATIONS, STANDARD_LOSSES

__all__ = [
    "CURVED_ACTIVATIONS",
    "EVEN_ACTIVATIONS",
    "LIPSCHITZ_LOSSES",
    "NAMED_ACTIVATIONS",
    "STEP_ACTIVATIONS",
    "STEP_LOSSES",
]

#: All named activations: those first that a trainer has which declares nothing.
NAMED_ACTIVATIONS = tuple(dict.fromkeys((*STANDARD_ACTIVATIONS, *ACTIVATIONS)))
#: What single steps are tried with at any size, where a trainer has it: all activations of bounded
#: curvature. That of e^z − 1 − z is not: with large weights its steps leave the numbers of a dtype.
STEP_ACTIVATIONS = tuple(
    name
    for name in NAMED_ACTIVATIONS
    if name in ORACLE_ACTIVATIONS and math.isfinite(ACTIVATIONS[name].curvature_bound)
)
#: Losses of which the oracle has a formula: H, and with it every claim on the first layer, is its.
STEP_LOSSES = tuple(
    name for name in dict.fromkeys((*STANDARD_LOSSES, *LOSSES)) if name in ORACLE_LOSSES
)
#: Activations inside the theorem's assumptions, the theorem's own first.
EVEN_ACTIVATIONS = tuple(
    name for name, sigma in ACTIVATIONS.items() if sigma.even and sigma.inside_theorem
)
#: Activations with σ'(0) = 0 and σ''(0) ≠ 0, with which a small start gives power iteration
#: (theory.md E3): σ''(0) is a factor of all weights, to which no alignment is sensitive.
CURVED_ACTIVATIONS = (
    *EVEN_ACTIVATIONS,
    *(
        name
        for name, sigma in ACTIVATIONS.items()
        if sigma.gap_order is not None and name not in EVEN_ACTIVATIONS
    ),
)
#: Losses inside the theorem's assumptions. A trainer that has none of them is tested with
#: another (`loss_used`), and the predictions are computed for the loss in use.
LIPSCHITZ_LOSSES = tuple(
    name for name in lipschitz_losses() if name in STEP_LOSSES and get_loss(name).smooth
)
