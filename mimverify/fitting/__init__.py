"""The reference trainer on the user's files, read again at every pass.

`fit_files` is what `mimverify fit` runs. `FileFit` is the same run as an object that reports at
any time what it has so far, for callers that may stop early.

sources, split, progress, recorder, result → run.
"""

from mimverify.fitting.progress import OnPass
from mimverify.fitting.recorder import SpectrumRecorder
from mimverify.fitting.result import FitResult
from mimverify.fitting.run import PARAMETERS, FileFit, fit_files

__all__ = ["PARAMETERS", "FileFit", "FitResult", "OnPass", "SpectrumRecorder", "fit_files"]
