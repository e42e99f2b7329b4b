"""Which of the paper's own assumptions a link and a loss meet (theory.md §2).

The predictions of this package ask for less: `LinkInspection.assumptions` says what. Each
assumption here has the extension that takes its place where it is broken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mimverify.network.losses import LOSSES, Loss, lipschitz_losses
from mimverify.problems.links import Link
from mimverify.theory.analysis import TransformAnalysis
from mimverify.theory.conditional.moments import CLEARLY
from mimverify.theory.labels.label_law import LabelLaw


@dataclass(frozen=True)
class PaperAssumption:
    """One assumption of the paper: `holds` is True, False, or None where it is not known.

    - `extension`: what the predictions of this package rest on where it does not hold.
    """

    holds: bool | None
    reason: str
    extension: str


def paper_assumptions(
    link: Link, loss: Loss, law: LabelLaw, analysis: TransformAnalysis
) -> dict[str, PaperAssumption]:
    """The paper's assumptions on link and loss by name.

    Those on the activation, the start and the number of steps are not of link and loss.

    **Arguments**

    - `law`, `analysis`: of this link under this loss.
    """
    return {
        "polynomial-link": _polynomial(link),
        "convex-loss": PaperAssumption(
            _known(loss, True),
            f"{loss.name} is convex" if _named(loss) else f"{loss.name}: supposed, not checked",
            "no other condition: c is fitted as the root of E l'(c, y)",
        ),
        "differentiable-loss": _differentiable(loss),
        "lipschitz-loss": _lipschitz(loss),
        "centred-at-zero": _centred(loss, law, analysis),
        "positive-eigenvalues": _positive(analysis),
    }


def _named(loss: Loss) -> bool:
    return loss.name.partition(":")[0] in LOSSES


def _known(loss: Loss, value: bool) -> bool | None:
    """A property that a user's own loss may have left at its default."""
    return value if _named(loss) else None


def _polynomial(link: Link) -> PaperAssumption:
    reasons = {
        True: f"{link.name} is a polynomial",
        False: f"{link.name} is no polynomial",
        None: f"{link.name} does not say whether it is a polynomial",
    }
    return PaperAssumption(
        link.polynomial, reasons[link.polynomial], "any link whose labels have finite moments"
    )


def _differentiable(loss: Loss) -> PaperAssumption:
    holds = _known(loss, True) if loss.smooth else False
    reasons = {
        True: f"l' of {loss.name} is continuous",
        False: f"l' of {loss.name} jumps",
        None: f"{loss.name}: supposed, not checked",
    }
    return PaperAssumption(holds, reasons[holds], "a jump of l' is allowed")


def _lipschitz(loss: Loss) -> PaperAssumption:
    holds = True if loss.lipschitz else _known(loss, False)
    names = lipschitz_losses()
    reasons = {
        True: f"l' of {loss.name} is bounded",
        False: f"l' of {loss.name} is not bounded: large labels weigh without bound",
        None: f"{loss.name} is not known to be Lipschitz",
    }
    return PaperAssumption(
        holds,
        reasons[holds],
        "bounded T(y), or predictions for a sample's own labels; "
        f"{', '.join(names[:-1])} and {names[-1]} are Lipschitz",
    )


def _centred(loss: Loss, law: LabelLaw, analysis: TransformAnalysis) -> PaperAssumption:
    """E l'(0, y) = 0."""
    mean, error = law.mean(lambda at: np.asarray(loss.derivative(0 * at.y, at.y), dtype=float))
    holds = bool(abs(mean) <= CLEARLY * error + 1e-9 * math.sqrt(analysis.v))
    return PaperAssumption(
        holds,
        f"E l'(0, y) = {0.0 if holds else float(mean):.4g}",
        f"the constant c = {analysis.constant:.4g} is fitted first",
    )


def _positive(analysis: TransformAnalysis) -> PaperAssumption:
    """λ_k > 0 for every k; by `rank` an eigenvalue is told from zero."""
    values = ", ".join(f"{value:.4g}" for value in analysis.eigenvalues)
    clear = np.abs(analysis.eigenvalues) > CLEARLY * analysis.eigenvalue_error
    holds: bool | None
    if (clear & (analysis.eigenvalues < 0)).any():
        holds = False
    elif analysis.rank == len(analysis.eigenvalues):
        holds = True
    else:  # zero only where the error is far below √v
        holds = False if analysis.eigenvalue_error < 1e-3 * math.sqrt(analysis.v) else None
    return PaperAssumption(
        holds,
        f"λ_k = {values}, each ± {analysis.eigenvalue_error:.1g}, at the fitted constant",
        "λ_k of either sign, none of them zero",
    )
