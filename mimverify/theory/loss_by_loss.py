"""A link under one loss after another, each handed on as soon as it is known.

Labels of three features take seconds under each loss: who waits sees what is there already.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from mimverify.network.losses import Loss
from mimverify.problems.links import Link
from mimverify.support.errors import InputError
from mimverify.support.threads import current_threads, map_in_order, single_threaded_libraries
from mimverify.theory.analysis import TransformAnalysis, analyse_transform
from mimverify.theory.conditional.information import LabelInformation, label_information
from mimverify.theory.reach import ReachedThresholds, limit_holds_from, reached_thresholds

__all__ = ["LossSummary", "UnderEachLoss", "gap", "under_each_loss"]


@dataclass(frozen=True)
class LossSummary:
    """What tells losses from each other: the loss's `name`, its `analysis`, and for n labels α_GD
    (`descent`, inf where there is none) and α_GD/α_c (`gap`, None where either does not exist)."""

    name: str
    analysis: TransformAnalysis
    descent: float
    gap: float | None


@dataclass(frozen=True)
class UnderEachLoss:
    """What `under_each_loss` found.

    - `information`: what the labels tell under any loss.
    - `analyses`, `reached`: by the loss's name, the one asked for first; `unusable`: why a loss
      is not among them.
    - `limit_from`: the n from which the limits hold under the loss asked for.
    """

    information: LabelInformation
    analyses: dict[str, TransformAnalysis]
    reached: dict[str, ReachedThresholds]
    unusable: dict[str, str]
    limit_from: int | None


def under_each_loss(
    link: Link,
    loss: Loss,
    others: Sequence[str],
    *,
    noise: float,
    samples: int,
    on_loss: Callable[[LossSummary], None] | None = None,
) -> UnderEachLoss:
    """A link's analysis and its thresholds for n = `samples` labels, under the loss asked for and
    others beside it.

    In several threads where NumPy spends its time in large arrays: not for one feature.

    **Arguments**

    - `on_loss`: called with each as soon as it and all before it are known, in the order given;
      one at a time, from any thread.

    **Raises** `InputError` where the loss asked for cannot be analysed.
    """
    turns = _Turns([loss.name, *others], on_loss)

    def under(chosen: Loss | str) -> None:
        name = chosen if isinstance(chosen, str) else chosen.name
        try:
            analysis = analyse_transform(link, chosen, noise=noise)
        except InputError as error:
            if name == loss.name:
                raise
            turns.take(name, error)
        else:
            reached = reached_thresholds(link, chosen, samples=samples, noise=noise)
            turns.take(name, (analysis, reached))

    def inform() -> None:
        turns.inform(label_information(link, noise=noise))

    limits: list[int | None] = []
    tasks: list[Callable[[], None]] = [
        partial(under, loss),
        inform,
        *(partial(under, name) for name in others),
        lambda: limits.append(limit_holds_from(link, loss, noise=noise)),
    ]
    threads = 1 if link.rank + bool(noise) == 1 else current_threads()
    with single_threaded_libraries():
        map_in_order(lambda task: task(), tasks, threads)
    return turns.all(limits[0])


def gap(descent: float | None, information: LabelInformation) -> float | None:
    """α_GD/α_c: how far gradient descent is from the limit (theory.md §5)."""
    if descent is None or not math.isfinite(descent) or information.alpha_c is None:
        return None
    return descent / information.alpha_c


class _Turns:
    """What is found under each loss, in whatever order, handed on in the order of `names`."""

    def __init__(self, names: Sequence[str], on_loss: Callable[[LossSummary], None] | None) -> None:
        self._names, self._on_loss, self._handed_on = names, on_loss, 0
        self._found: dict[str, tuple[TransformAnalysis, ReachedThresholds] | InputError] = {}
        self._information: LabelInformation | None = None
        self._lock = threading.Lock()

    def inform(self, information: LabelInformation) -> None:
        with self._lock:
            self._information = information
            self._hand_on()

    def take(
        self, name: str, found: tuple[TransformAnalysis, ReachedThresholds] | InputError
    ) -> None:
        with self._lock:
            self._found[name] = found
            self._hand_on()

    def _hand_on(self) -> None:
        if self._on_loss is None or self._information is None:  # without which there is no gap
            return
        for name in self._names[self._handed_on :]:
            if name not in self._found:
                return
            self._handed_on += 1
            found = self._found[name]
            if not isinstance(found, InputError):
                analysis, reached = found
                distance = gap(reached.descent, self._information)
                self._on_loss(LossSummary(name, analysis, reached.descent, distance))

    def all(self, limit_from: int | None) -> UnderEachLoss:
        assert self._information is not None
        in_order = [(name, self._found[name]) for name in self._names]
        known = {name: one for name, one in in_order if not isinstance(one, InputError)}
        return UnderEachLoss(
            information=self._information,
            analyses={name: analysis for name, (analysis, _) in known.items()},
            reached={name: reached for name, (_, reached) in known.items()},
            unusable={name: str(one) for name, one in in_order if isinstance(one, InputError)},
            limit_from=limit_from,
        )
