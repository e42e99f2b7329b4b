"""A whole experiment by kind of design: drawing, both stages and the test error."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .common import BACKENDS, LINK, NEURONS, ROWS_PER_DIM, STEPS, Work, grid


class Run(Work):
    """`run_experiment` on n = 16 d rows a stage, for each design."""

    @property
    @abstractmethod
    def design(self) -> str:
        """How stage 1 stores its inputs; a subclass just assigns it."""

    def prepare(self, *params: Any) -> None:
        from mimverify.experiment import ExperimentConfig, run_experiment

        backend, dim = params
        self.run = run_experiment
        self.config = ExperimentConfig(
            LINK,
            dim=dim,
            samples=ROWS_PER_DIM * dim,
            steps=STEPS,
            neurons=NEURONS,
            backend=backend,
            dtype="float32",
            design=self.design,
            baselines=False,
            test_samples=4 * dim,
        )

    def warm_up(self) -> None:
        # Small, so that peak memory is that of the run which is measured.
        self.run(replace(self.config, dim=64, samples=1024, test_samples=64))

    def work(self) -> None:
        self.run(self.config)


class RunStored(Run):
    params = (BACKENDS, grid([128, 512], [1024, 2048, 4096]))  # the last: 1 GiB of inputs
    design = "stored"


class RunStreamed(Run):
    params = (BACKENDS, grid([512], [1024, 2048]))  # draws its inputs anew at every pass
    design = "streamed"


class RunLazy(Run):
    params = (BACKENDS, grid([512], [1024, 2048, 4096]))
    design = "lazy"


def designs() -> list[str]:
    """The names of the designs by their files, of which nothing is imported; of commits from before
    each had one there are none."""
    package = find_spec("mimverify")
    places = [] if package is None else package.submodule_search_locations or []
    files = [file for place in places for file in Path(place, "experiment/designs").glob("*.py")]
    return sorted(file.stem.replace("_", "-") for file in files if file.stem[0] != "_")


def _others() -> dict[str, type[Run]]:
    """The designs that have no sizes of their own above: where several processes can share a run,
    it is one of a single process."""
    own = {kind.design for kind in Run.__subclasses__()}
    common = {"params": (BACKENDS, grid([512], [1024])), "__module__": __name__}
    return {
        name: type(name, (Run,), {**common, "design": design})
        for design in designs()
        if design not in own
        for name in ["Run" + design.title().replace("-", "")]
    }


globals().update(_others())  # asv looks for classes by their names
