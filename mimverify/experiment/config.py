"""What an experiment runs: its configuration, with names and defaults of `mimverify train`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any

from mimverify.backends import BACKENDS
from mimverify.errors import InputError
from mimverify.network.activations import Activation, get_activation
from mimverify.network.losses import Loss, get_loss
from mimverify.problems.links import Link, get_link
from mimverify.training.schedules import default_samples, default_steps
from mimverify.training.stage2 import READOUTS
from mimverify.training.trainer import SCHEDULES
from mimverify.validation import choice, dtype_name, integer, number

#: How stage 1 holds its inputs.
DESIGNS = ("stored", "streamed", "lazy", "sharded")


@dataclass(frozen=True)
class ExperimentConfig:
    """What is run. Names and defaults are those of `mimverify train`.

    **Arguments**

    - `link`, `rank`: a `Link` or its specification; r only for a link that carries none.
    - `dim`, `samples`: d, and n *per stage*: both stages and the test set draw rows of
      their own. `samples=None` stands for n = ⌊d log² d⌋.
    - `steps`: T1; None stands for ceil(log d / log(n/d)) + 2, which needs n > d.
    - `seed`: of the subspace, the data, the start and the readout's biases.
    - `noise`: standard deviation of the labels' noise, the test set's included.
    - `test_samples`: rows of the test set.
    - `threads`: of every library's pool; None leaves them as they are.
    - `design`: how the inputs are held: `"stored"`; `"streamed"`, drawn anew at every pass
      (the same numbers); `"lazy"`, drawn only as far as training looks at them (the same law,
      theory.md §8); `"sharded"`, rows divided over the processes of `torchrun`.
    - `baselines`: also fit what the test error is compared with.
    - `checkpoint`: a file `.npz` that holds the run as of its last step.
    - `resume`: go on from that file.
    - the others: as for `MultiIndexModel` and `LayerwiseTrainer`.

    Nothing is checked before `resolved`.
    """

    link: Link | str
    _: KW_ONLY
    rank: int | None = None
    dim: int = 256
    samples: int | None = None
    steps: int | None = None
    neurons: int = 64
    loss: Loss | str = "huber"
    activation: Activation | str = "log-cosh"
    backend: str = "numpy"
    device: str = "cpu"
    dtype: str = "float64"
    seed: int = 0
    noise: float = 0.0
    schedule: str = "scale-free"
    eta: float | None = None
    beta: float | None = None
    init_norm: float = 1e-2
    remove_linear_part: bool = False
    centre: bool = True
    ridge: float = 1e-3
    readout: str = "closed-form"
    readout_neurons: int = 256
    test_samples: int = 10_000
    threads: int | None = None
    design: str = "stored"
    baselines: bool = True
    checkpoint: str | None = None
    resume: bool = False

    def resolved(self) -> ExperimentConfig:
        """This configuration with objects for names and figures for defaults.

        **Raises** `InputError` for a value that is out of range by itself. What depends on
        several values at once is left to those who use them.
        """
        link = get_link(self.link, rank=self.rank)
        dim = _size("dim", self.dim)
        if link.rank > dim:
            raise InputError(f"rank={link.rank}: expected at most dim={dim}")
        samples = default_samples(dim) if self.samples is None else self.samples
        samples = _size("samples", samples)
        steps = default_steps(samples, dim) if self.steps is None else self.steps
        schedule = choice("schedule", self.schedule, SCHEDULES)
        beta = 0.0 if schedule == "constant" and self.beta is None else self.beta
        return replace(
            self,
            link=link,
            rank=link.rank,
            dim=dim,
            samples=samples,
            steps=_size("steps", steps, minimum=0),
            neurons=_size("neurons", self.neurons, minimum=2),
            loss=get_loss(self.loss),
            activation=get_activation(self.activation),
            backend=choice("backend", self.backend, BACKENDS),
            dtype=dtype_name("dtype", self.dtype),
            # Larger seeds would share random streams with smaller ones.
            seed=integer("seed", self.seed, minimum=0, maximum=2**32 - 1),
            noise=number("noise", self.noise, minimum=0.0),
            schedule=schedule,
            beta=beta,
            ridge=number("ridge", self.ridge, minimum=0.0, exclusive=True),
            readout=choice("readout", self.readout, READOUTS),
            readout_neurons=_size("readout_neurons", self.readout_neurons),
            test_samples=_size("test_samples", self.test_samples, minimum=2),
            threads=None if self.threads is None else _size("threads", self.threads),
            design=choice("design", self.design, DESIGNS),
            checkpoint=None if self.checkpoint is None else str(self.checkpoint),
        )

    def to_json(self) -> dict[str, Any]:
        """The fields by name; links, losses and activations as their specifications."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: getattr(value, "name", value) for name, value in values.items()}


def _size(argument: str, value: Any, *, minimum: int = 1) -> int:
    """A count, small enough to be computed with."""
    count = integer(argument, value, minimum=minimum)
    if count > 10**15:
        raise InputError(f"{argument}={count}: too large for any machine")
    return count
