"""The files that `mimverify study` writes of a named study: its page and its figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mimverify.pages import save_figure, write_page

if TYPE_CHECKING:
    from mimverify.studies import StudyReport


def write_files(
    report: StudyReport | None, command: str, html_path: str | None, figure_path: str | None
) -> None:
    """Write what was asked for; a study that is not complete has neither page nor figures, which
    is said on standard error.

    **Arguments**

    - `command`: the command line without its files.
    - `figure_path`: of the first figure; further ones have their names before the file's end.
    """
    if report is None:
        if html_path or figure_path:
            click.echo("Not drawn: trials are missing, or have failed.", err=True)
        return
    if html_path is not None:
        from mimverify.studies import study_page

        write_page(html_path, study_page(report, command))
    if figure_path is not None:
        for index, figure in enumerate(report.figures):
            path = Path(figure_path)
            if index:
                path = path.with_stem(f"{path.stem}-{figure.name}")
            save_figure(figure.draw, path, size=figure.size)
