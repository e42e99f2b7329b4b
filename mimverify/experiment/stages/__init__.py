"""What the designs of a run share, and the strategy of each by its name."""

from mimverify.experiment.stages.base import Stages
from mimverify.experiment.stages.strategies import designs_where, stages_for

__all__ = ["Stages", "designs_where", "stages_for"]
