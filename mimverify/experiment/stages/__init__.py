"""One strategy for each kind of design: how a run holds its inputs."""

from __future__ import annotations

from mimverify.experiment.stages.base import Stages
from mimverify.experiment.stages.lazy import LazyStages
from mimverify.experiment.stages.sharded import ShardedStages
from mimverify.experiment.stages.stored import StoredStages
from mimverify.experiment.stages.streamed import StreamedStages

__all__ = [
    "LazyStages",
    "ShardedStages",
    "Stages",
    "StoredStages",
    "StreamedStages",
    "stages_for",
]


def stages_for(design: str) -> type[Stages]:
    """The strategy of one of `DESIGNS`."""
    strategies: dict[str, type[Stages]] = {
        "stored": StoredStages,
        "streamed": StreamedStages,
        "lazy": LazyStages,
        "sharded": ShardedStages,
    }
    return strategies[design]
