"""In which order thresholds must lie: theorems, which computed numbers have to obey.

The numbers on both sides of each come from different computations, so that a wrong one shows.
Derivations: docs/theory-engine.md, §7; docs/theory-engine.md, §11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mimverify.support.strict_json import Json
from mimverify.theory.all_thresholds import LinkThresholds, LossThresholds
from mimverify.theory.limits.bayes_limits import Threshold

Of = Callable[[LinkThresholds, LossThresholds], Threshold]


@dataclass(frozen=True)
class Order:
    """`low` ≤ `high` wherever both exist.

    - `statement`: the inequality; `reason`: why it holds.
    - `of_loss`: whether it is about each loss rather than about the link alone.
    """

    statement: str
    reason: str
    low: Of
    high: Of
    of_loss: bool = False


#: Nothing orders α_alg and what a loss needs: all of U, and a first overlap.
ORDERS = (
    Order(
        "α_IT ≤ α_IT, exact",
        "what determines U has an overlap with it",
        lambda at, loss: at.alpha_it,
        lambda at, loss: at.alpha_it_exact,
    ),
    Order(
        "r ≤ α_IT, exact",
        "a label narrows the posterior along at most one of the r directions of U x",
        lambda at, loss: Threshold(float(at.link.rank), 0.0),
        lambda at, loss: at.alpha_it_exact,
    ),
    Order(
        "α_IT ≤ α_c",
        "where the algorithm leaves zero it has an overlap, and no estimator's is larger than that "
        "of the posterior mean",
        lambda at, loss: at.alpha_it,
        lambda at, loss: at.alpha_c,
    ),
    Order(
        "α_IT, exact ≤ α_alg",
        "what the algorithm determines, the posterior mean does",
        lambda at, loss: at.alpha_it_exact,
        lambda at, loss: at.alpha_alg,
    ),
    Order(
        "α_c ≤ α_alg",
        "an algorithm that stays at zero determines nothing",
        lambda at, loss: at.alpha_c,
        lambda at, loss: at.alpha_alg,
    ),
    Order(
        "α_c ≤ α_spectral",
        "Cauchy–Schwarz: no transform of the label makes an eigenvalue stand out below α_c",
        lambda at, loss: at.alpha_c,
        lambda at, loss: loss.spectral,
        of_loss=True,
    ),
    Order(
        "α_IT ≤ α_spectral",
        "an eigenvector that stands out has an overlap with U",
        lambda at, loss: at.alpha_it,
        lambda at, loss: loss.spectral,
        of_loss=True,
    ),
    Order(
        "α_spectral ≤ α_GD",
        "power iteration finds the eigenvalue of largest modulus, so it has to be out of the bulk",
        lambda at, loss: loss.spectral,
        lambda at, loss: loss.descent,
        of_loss=True,
    ),
)


@dataclass(frozen=True)
class Compared:
    """One order on one link, and loss where it is about one; `low` and `high` have values."""

    order: Order
    link: str
    loss: str | None
    low: Threshold
    high: Threshold

    @property
    def violated(self) -> bool:
        """Whether `low` exceeds `high` by more than the sum of their errors."""
        assert self.low.value is not None
        assert self.high.value is not None
        errors = (self.low.error or 0.0) + (self.high.error or 0.0)
        return self.low.value - self.high.value > errors

    @property
    def where(self) -> str:
        """The link, and the loss."""
        return self.link if self.loss is None else f"{self.link}, {self.loss}"

    def to_json(self) -> Json:
        """A record of plain values."""
        return {
            "order": self.order.statement,
            "link": self.link,
            "loss": self.loss,
            "low": self.low.value,
            "high": self.high.value,
            "violated": self.violated,
        }


def compared(found: Sequence[LinkThresholds]) -> tuple[Compared, ...]:
    """Every order, on every link and loss that has both of its thresholds."""
    return tuple(
        Compared(order, at.link.name, name, low, high)
        for order in ORDERS
        for at in found
        for name, loss in _subjects(order, at)
        for low, high in [(order.low(at, loss), order.high(at, loss))]
        if low.value is not None and high.value is not None
    )


def _subjects(order: Order, at: LinkThresholds) -> Iterator[tuple[str | None, LossThresholds]]:
    if order.of_loss:
        yield from at.losses.items()
    else:  # the order does not look at it
        none = Threshold(None, None, "no loss")
        yield None, LossThresholds(none, none)
