"""What the diagnosis of a data set found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mimverify.given_data.advice import Advice
from mimverify.given_data.linear_share import LinearShare
from mimverify.given_data.spectrum_test import SpectrumTest
from mimverify.pages.blocks import Cell, Column, Table
from mimverify.pages.notebook import ShownInNotebooks
from mimverify.support.strict_json import Json

__all__ = ["LINEAR_ONLY", "NOTHING", "SHOWN", "Diagnosis"]

SHOWN, LINEAR_ONLY, NOTHING = "shown", "only linear", "nothing shown"


@dataclass(frozen=True)
class Diagnosis(ShownInNotebooks):
    """Does the mechanism of the theorem show in (X, y)?

    **Arguments**

    - `independent`: the test of "y is independent of x", exact.
    - `beyond_linear`: the test of "only linear", which is not; None where a linear function of
      the components is all of y.
    - `linear`: R² and its exact p-value for "y is independent of x".
    - `advice`: for the directions beyond the linear part; None where nothing is shown.
    - `missing`: sentences.
    - `left_out`: losses that were not tried on their own, and why.
    - `configuration`: what was asked, sizes, and versions.
    """

    independent: SpectrumTest
    beyond_linear: SpectrumTest | None
    linear: LinearShare
    advice: Advice | None
    missing: tuple[str, ...]
    left_out: dict[str, str]
    configuration: Json

    @property
    def verdict(self) -> str:
        """One of "shown", "only linear" and "nothing shown".

        "shown" needs "only linear" rejected, and independence by the spectrum or by R². If y is
        independent of x its probability is at most 2 alpha, exactly (simulated: below alpha).
        """
        alpha = self.independent.alpha
        if not self.independent.shown and self.linear.p_value > alpha:
            return NOTHING
        beyond = self.beyond_linear
        return LINEAR_ONLY if beyond is None or not beyond.shown else SHOWN

    @property
    def shown(self) -> bool:
        """Whether the verdict is "shown"."""
        return self.verdict == SHOWN

    @property
    def directions(self) -> int:
        """That stand out beyond the linear part, at least; 0 unless shown."""
        return self.beyond_linear.directions if self.beyond_linear and self.shown else 0

    @property
    def loss(self) -> str:
        """That shows most."""
        return (self.beyond_linear if self.beyond_linear and self.shown else self.independent).loss

    @property
    def sentence(self) -> str:
        """The verdict in a sentence."""
        if self.verdict == SHOWN:
            count = self.directions
            return (
                f"Yes: at least {count} direction{'s' if count > 1 else ''} beyond the linear part "
                f"stand{'' if count > 1 else 's'} out of the permuted labels' spectrum, most under "
                f"loss {self.loss}"
            )
        if self.verdict == LINEAR_ONLY:
            return "No: labels depend on inputs, but nothing shows beyond the linear part"
        return "No: nothing stands out of the permuted labels' spectrum"

    def tests(self) -> tuple[SpectrumTest, ...]:
        """One or both."""
        return tuple(t for t in (self.independent, self.beyond_linear) if t is not None)

    def to_json(self) -> Json:
        """A record of plain numbers, strings and lists."""
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "directions": self.directions,
            "loss": self.loss,
            "independent": self.independent.to_json(),
            "beyond_linear": None if self.beyond_linear is None else self.beyond_linear.to_json(),
            "linear": self.linear.to_json(),
            "advice": None if self.advice is None else self.advice.to_json(),
            "missing": list(self.missing),
            "left_out": self.left_out,
            "configuration": self.configuration,
        }

    def html_tables(self) -> Sequence[Table]:
        """The tests, the losses, and the advice."""
        return [
            tests_table(self),
            *losses_tables(self),
            Table(self.sentence, ["what to know"], [[line] for line in self.notes()]),
        ]

    def notes(self) -> list[str]:
        """Advice and what is missing, in sentences."""
        lines = []
        if self.advice is not None:
            one, k = self.advice, self.configuration["components"]
            steps = str(one.steps) if one.steps is not None else "no number up to 400"
            most = (
                ""
                if one.most_steps is None
                else f"; float32 loses the weakest after {one.most_steps}"
            )
            weakest = f"{one.strengths[-1]:.2g}"
            lines = [
                f"Steps of stage 1: {steps} (the weakest outlier outweighs the rest of the "
                f"spectrum, and one more{most}).",
                f"Samples of stage 1: {one.samples} for a squared overlap of .9 with the weakest "
                f"direction found (|λ| about {weakest}, k = {k}); here "
                f"{self.configuration['samples']}, squared overlap about {one.overlaps[-1]:.2g}.",
            ]
        linear = self.linear
        lines.append(
            f"Linear part: R² = {linear.r_squared:.2f} in these rows; p = {linear.p_value:.3g} for "
            "independence, exact."
        )
        return [*lines, *self.missing]


def tests_table(diagnosis: Diagnosis) -> Table:
    """A row for each hypothesis."""
    rows: list[list[Cell | str]] = []
    for name, test in (
        ("independent", diagnosis.independent),
        ("beyond_linear", diagnosis.beyond_linear),
    ):
        if test is None:
            continue
        rows.append(
            [
                test.null,
                Cell(f"{test.p_value:.4g}", pointer=f"/{name}/p_value"),
                "yes" if test.shown else "no",
                Cell(str(len(test.outliers))),
                Cell(str(test.directions), pointer=f"/{name}/directions"),
                test.loss,
                Cell(f"{test.detectable:.3g}", pointer=f"/{name}/detectable"),
            ]
        )
    columns = [
        Column("null hypothesis"), Column("p", numeric=True), Column("rejected"),
        Column("outliers", numeric=True), Column("directions ≥", numeric=True),
        Column("loss"), Column("detectable |λ|", numeric=True),
    ]  # fmt: skip
    return Table(
        "What is tested",
        columns,
        rows,
        note="Detectable: found with probability .9, by theory, from Gaussian inputs. "
        + " ".join(f"p of “{test.null}” is {test.level}." for test in diagnosis.tests()),
    )


def losses_tables(diagnosis: Diagnosis) -> list[Table]:
    """For each hypothesis the losses side by side."""
    columns = [
        Column("loss"), Column("largest", numeric=True), Column("threshold", numeric=True),
        Column("null's median", numeric=True), Column("null's largest", numeric=True),
        Column("Gaussian edge", numeric=True), Column("p", numeric=True),
        Column("outliers", numeric=True),
    ]  # fmt: skip
    tables = []
    keys = ("largest", "threshold", "null_0.5", "null_1", "gaussian_edge", "p_value")
    record = diagnosis.to_json()
    for name, test in (
        ("independent", diagnosis.independent),
        ("beyond_linear", diagnosis.beyond_linear),
    ):
        if test is None:
            continue
        rows: list[list[Cell | str]] = []
        for index, each in enumerate(record[name]["by_loss"]):
            at = f"/{name}/by_loss/{index}"
            numbers = [Cell(f"{each[key]:.3g}", pointer=f"{at}/{key}") for key in keys]
            count = Cell(str(each["outliers"]), pointer=f"{at}/outliers")
            rows.append([each["loss"], *numbers, count])
        tables.append(
            Table(
                f"Largest eigenvalue in modulus, against: {test.null}",
                columns,
                rows,
                note="The threshold pays for the choice among these losses.",
            )
        )
    return tables
