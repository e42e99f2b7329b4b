"""Stage 1 on each kind of design: a symmetric start, `STEPS` steps, labels given or computed."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from .common import (
    BACKENDS,
    DIMS,
    NEURONS,
    ROWS_PER_DIM,
    STEPS,
    Work,
    make_model,
    make_trainer,
    problem,
)


class FirstLayer(Work):
    """Training on a design. A new design is a subclass with `make`, which is timed."""

    def prepare(self, *params: Any) -> None:
        from mimverify.backends import get_backend

        backend, dim = params
        self.samples, self.dim = ROWS_PER_DIM * dim, dim
        self.backend = get_backend(backend, "float32")
        self.model, self.trainer = make_model(dim), make_trainer(backend, neurons=NEURONS)

    @abstractmethod
    def make(self) -> tuple[Any, Any]:
        """The design of `samples` rows, with `backend`, and all labels `(n,)`."""

    def work(self) -> None:
        design, y = self.make()
        self.trainer.fit_first_layer(design, y)


class Stored(FirstLayer):
    """Rows in memory, drawn beforehand."""

    params = (BACKENDS, DIMS[1:])  # at the smallest, `Fit` does the same

    def make(self) -> tuple[Any, Any]:
        from mimverify.designs import StoredDesign

        X, y = problem(self.dim, self.samples)
        return StoredDesign(X, self.backend), y


class Streamed(FirstLayer):
    """Rows drawn anew at every pass, labels included."""

    def make(self) -> tuple[Any, Any]:
        from mimverify.designs import ModelRows, StreamedDesign

        rows = ModelRows(self.model, self.samples)
        return StreamedDesign(rows, self.backend), rows.labels("float32")


class Lazy(FirstLayer):
    """Rows determined lazily, as far as training needs them."""

    def make(self) -> tuple[Any, Any]:
        from mimverify.designs import LazyGaussianDesign

        asked = NEURONS // 2 * STEPS
        design = LazyGaussianDesign(
            self.samples, self.dim, self.backend, right=self.model.rank + asked, left=asked
        )
        z = design.project(self.backend.asarray(self.model.subspace))
        return design, self.model.labels(self.backend.to_numpy(z), dtype="float32")
