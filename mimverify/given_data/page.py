"""A diagnosis as a page."""

from __future__ import annotations

from functools import partial

from mimverify.given_data.outlier_figure import SIZE, outlier_data, outlier_figure
from mimverify.given_data.result import Diagnosis, losses_tables, tests_table
from mimverify.pages import FigureBlock, figure_svg, has_matplotlib, render

__all__ = ["diagnosis_page"]

_CAPTION = (
    "Eigenvalues of H in order, and where those of permuted labels lie. Beyond the dashed lines an "
    "eigenvalue is larger than the largest of nearly all permutations, under any of the losses."
)


def diagnosis_page(diagnosis: Diagnosis, command: str) -> str:
    """The page; its numbers come from the record that `to_json` returns.

    **Arguments**

    - `command`: the command line that makes it again.
    """
    svg = None
    if has_matplotlib():
        svg = figure_svg(
            partial(outlier_figure, diagnosis),
            alt=f"{diagnosis.sentence}. {_CAPTION}",
            name="spectrum",
            size=SIZE,
        )
    return render(
        "diagnosis.html.j2",
        {
            "title": "Diagnosis of given data",
            "lead": "Does what the theorem is about, label-weighted second moments with "
            "directions that stand out, show in these data?",
            "verdict": diagnosis.sentence,
            "tone": "good" if diagnosis.shown else "warn",
            "figure": FigureBlock(
                "Spectrum against its permutation null",
                _CAPTION,
                svg,
                f"{command} --figure spectrum.pdf",
                outlier_data(diagnosis),
                "spectrum",
            ),
            "notes": diagnosis.notes(),
            "tests": tests_table(diagnosis),
            "losses": losses_tables(diagnosis),
            "command": command,
            "facts": list(_facts(diagnosis)),
            "data": diagnosis.to_json(),
        },
    )


def _facts(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    made = diagnosis.configuration
    facts = [
        ("samples n", str(made["samples"])),
        ("columns", str(made["columns"])),
        (
            "components k",
            f"{made['components']} of {made['rank']} ({made['components_chosen_by']})",
        ),
        ("variance in them", f"{made['variance']:.4g}"),
        ("losses", ", ".join(made["losses"])),
        ("permutations B", str(made["permutations"])),
        ("seed", str(made["seed"])),
    ]
    return facts + [(f"loss {loss}", why) for loss, why in diagnosis.left_out.items()]
