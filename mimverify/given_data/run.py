"""The diagnosis from its arguments."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from inspect import signature
from typing import TypedDict, Unpack

from mimverify.fitting.sources import file_name
from mimverify.given_data.advice import advise, what_is_missing
from mimverify.given_data.given_files import read_files
from mimverify.given_data.linear_share import linear_share
from mimverify.given_data.permutation_null import beyond_linear_test, independence_test
from mimverify.given_data.result import NOTHING, SHOWN, Diagnosis
from mimverify.given_data.whitening import whiten
from mimverify.network.losses import Loss, get_loss
from mimverify.support.arrays import ArrayLike
from mimverify.support.errors import InputError
from mimverify.support.memory import check_fits
from mimverify.support.threads import available_cores, single_threaded_libraries
from mimverify.support.validation import array, integer, not_constant, number, parallel_count
from mimverify.support.versions import software_versions

__all__ = ["DEFAULT_LOSSES", "FEWEST_SAMPLES", "OnProgress", "diagnose", "diagnose_files"]

#: Unbounded, clipped at a deviation, and the sign: more of them make the maximum's threshold
#: higher for little.
DEFAULT_LOSSES = ("squared", "huber", "l1")
FEWEST_SAMPLES = 10
#: Their spectra are kept.
MOST_PERMUTATIONS = 10**5

#: Called with the test ("independent", "beyond linear"), the permutations done, and all.
OnProgress = Callable[[str, int, int], None]


class DiagnosisOptions(TypedDict, total=False):
    """Arguments that `diagnose` has by name."""

    components: int | None
    standardise: bool
    losses: Sequence[str | Loss]
    permutations: int
    alpha: float
    seed: int
    threads: int | None
    on_progress: OnProgress | None


def diagnose(
    X: ArrayLike,
    y: ArrayLike,
    *,
    components: int | None = None,
    standardise: bool = False,
    losses: Sequence[str | Loss] = DEFAULT_LOSSES,
    permutations: int = 199,
    alpha: float = 0.05,
    seed: int = 0,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> Diagnosis:
    """Does the mechanism of the theorem show in given data (theory.md §11)?

    X is whitened by itself, the label transform T of each loss is chosen from y alone, and the
    eigenvalues of H_n = (1/n) Σ T_i z_i z_iᵀ are compared in modulus with those of permuted
    labels. Two hypotheses: "y is independent of x", exactly; and "only linear", on the residuals of
    least squares, nearly. Rows must be exchangeable: no time series, no groups.

    **Arguments**

    - `X`, `y`: inputs `(n, d)` and labels `(n,)`, finite; at least 10 rows.
    - `components`: leading principal components k that are looked at; None: by a rule on X alone
      (`whiten`). It is part of the answer.
    - `standardise`: divide columns by their deviations before the components.
    - `losses`: names or `Loss`es, in units of y's standard deviation ("huber:0.5" clips at half of
      it). The choice among them is inside the permutation.
    - `permutations`: B; p is at least 1/(1 + B).
    - `alpha`: level of the verdict and of the count of directions.
    - `seed`: of the permutations; the result does not depend on `threads`.
    - `threads`: that permutations are divided among; None: one for each core.
    - `on_progress`: called with the test, the permutations done and all of them.

    **Raises** `InputError` for data of other shapes, that are not finite or constant, fewer
    than 10 rows, and other arguments out of range.
    """
    X = array("X", X, (None, None), dtype="float64")
    y = array("y", y, (len(X),), dtype="float64")
    n = len(X)
    if n < FEWEST_SAMPLES:
        raise InputError(f"X has {n} rows: expected at least {FEWEST_SAMPLES}")
    not_constant(y)
    if components is not None:
        components = integer("components", components, minimum=1)
    if not isinstance(standardise, bool):
        raise InputError(f"standardise={standardise!r}: expected True or False")
    alpha = number("alpha", alpha, minimum=0.0, exclusive=True)
    if alpha >= 1:
        raise InputError(f"alpha={alpha:g}: expected a probability below 1")
    permutations = integer("permutations", permutations, minimum=1, maximum=MOST_PERMUTATIONS)
    if alpha * (1 + permutations) < 1 - 1e-9:
        fewest = math.ceil(1 / alpha - 1e-9) - 1
        raise InputError(
            f"permutations={permutations}: the smallest p-value is 1/{1 + permutations}, above "
            f"alpha={alpha:g}: expected at least {fewest}"
        )
    seed = integer("seed", seed, minimum=0, maximum=2**32 - 1)
    threads = available_cores() if threads is None else parallel_count("threads", threads)
    chosen = _losses(losses)
    d = X.shape[1]
    check_fits(8 * (5 * n * d + d * min(n, d)), f"{n} rows of {d} columns")
    whitened = whiten(X, components, standardise=standardise)
    k = whitened.components
    check_fits(
        16 * permutations * len(chosen) * k + 16 * (n * k + k * k) * (threads + 1),
        f"{permutations} permutations, {k} components and {n} rows on {threads} threads",
        advice="expected fewer components, permutations or threads",
    )
    report: OnProgress = on_progress or (lambda _test, _done, _all: None)
    # Our own threads divide the permutations.
    with single_threaded_libraries():
        independent, left = independence_test(
            whitened.Z, y, chosen, permutations=permutations, alpha=alpha, seed=seed,
            threads=threads,
            on_permutation=lambda done: report("independent", done, permutations),
        )  # fmt: skip
        second = beyond_linear_test(
            whitened.Z, y, chosen, permutations=permutations, alpha=alpha, seed=seed,
            threads=threads,
            on_permutation=lambda done: report("beyond linear", done, permutations),
        )  # fmt: skip
        linear = linear_share(whitened.Z, y, permutations=permutations, seed=seed)
    beyond = None if second is None else second[0]
    configuration = {
        "samples": n,
        "columns": d,
        "components": whitened.components,
        "components_chosen_by": whitened.chosen_by,
        "rank": whitened.rank,
        "variance": whitened.variance,
        "heaviest_row": whitened.heaviest,
        "standardise": standardise,
        "losses": [loss.name for loss in chosen],
        "permutations": permutations,
        "alpha": alpha,
        "seed": seed,
        "threads": threads,
        "versions": dict(software_versions("numpy")),
    }
    diagnosis = Diagnosis(
        independent,
        beyond,
        linear,
        None,
        (),
        left,
        configuration,
    )
    advice = advise(beyond) if beyond is not None and diagnosis.verdict == SHOWN else None
    missing = what_is_missing(
        whitened, y, independent, beyond, left, nothing=diagnosis.verdict == NOTHING
    )
    return replace(diagnosis, advice=advice, missing=missing)


def diagnose_files(
    inputs: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    **options: Unpack[DiagnosisOptions],
) -> Diagnosis:
    """`diagnose` of files.

    **Arguments**

    - `inputs`: X, a .npy, Parquet or CSV file (with a line of names or without).
    - `labels`: y, a .npy file, a CSV file of one column, or the name of a column of `inputs`.
    - the others: as for `diagnose`.

    **Raises** `InputError` also for files that cannot be read.
    """
    inputs, labels = file_name("inputs", inputs), file_name("labels", labels)
    signature(diagnose).bind(None, None, **options)  # a wrong name, before files are read
    found = diagnose(*read_files(inputs, labels), **options)
    origin = {"inputs": inputs, "labels": labels}
    return replace(found, configuration={**origin, **found.configuration})


def _losses(losses: Sequence[str | Loss]) -> list[Loss]:
    if isinstance(losses, str | Loss):
        losses = [losses]
    found = [get_loss(loss) for loss in losses]
    if not found:
        raise InputError("losses=[]: expected at least one")
    names = [loss.name for loss in found]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"losses={names}: {repeated[0]!r} is there twice")
    return found
