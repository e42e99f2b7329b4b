"""Named studies: measurements beside their predictions, and the kinds of trials that they run.

A study is one file of this package with a `STUDY`, found by `study_names`; a kind of trial is one
file of `trials`. comparison → named_study → trials → the studies → finding → page.
"""

from typing import TYPE_CHECKING

from mimverify.support.lazy_package import lazy_names

if TYPE_CHECKING:
    from mimverify.studies.comparison import LIMIT, Comparison, beyond, false_alarms
    from mimverify.studies.finding import get_study, study_names
    from mimverify.studies.named_study import SCALES, NamedStudy, StudyFigure
    from mimverify.studies.page import study_page
    from mimverify.studies.report import StudyReport

__all__ = [
    "LIMIT",
    "SCALES",
    "Comparison",
    "NamedStudy",
    "StudyFigure",
    "StudyReport",
    "beyond",
    "false_alarms",
    "get_study",
    "study_names",
    "study_page",
]

__getattr__, __dir__ = lazy_names(__name__, __file__)
