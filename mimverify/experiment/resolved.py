"""A configuration as it is run: objects for names, numbers for defaults, every value checked."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from typing import TYPE_CHECKING, Any

from mimverify.backends import BACKENDS
from mimverify.experiment import designs
from mimverify.network.activations import Activation, get_activation
from mimverify.network.losses import Loss, get_loss
from mimverify.problems.inputs import InputLaw, get_inputs
from mimverify.problems.links import Link, get_link
from mimverify.problems.model import MultiIndexModel
from mimverify.problems.subspace import SUBSPACES
from mimverify.support.errors import InputError
from mimverify.support.package_files import names_of_modules
from mimverify.support.strict_json import Json
from mimverify.support.validation import (
    choice,
    dtype_name,
    integer,
    number,
    parallel_count,
    size,
    step_count,
)
from mimverify.training.schedules import default_samples, default_steps
from mimverify.training.stage2 import READOUTS
from mimverify.training.trainer import SCHEDULES

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: How a run may hold its inputs: the names of the files of `mimverify.experiment.designs`.
DESIGNS = tuple(name.replace("_", "-") for name in names_of_modules(designs))


@dataclass(frozen=True)
class ResolvedConfig:
    """What `ExperimentConfig.resolved` returns, and all other modules take.

    The fields are those of `ExperimentConfig`, in their order. None remains where it is no
    default: `eta` and `beta` that the schedule sets itself, `threads` left as they are, no
    `checkpoint`.
    """

    link: Link
    _: KW_ONLY
    rank: int
    dim: int
    samples: int
    steps: int
    neurons: int
    loss: Loss
    activation: Activation
    backend: str
    device: str
    dtype: str
    seed: int
    noise: float
    inputs: InputLaw
    subspace: str
    schedule: str
    eta: float | None
    beta: float | None
    init_norm: float
    remove_linear_part: bool
    centre: bool
    ridge: float
    readout: str
    readout_neurons: int
    test_samples: int
    threads: int | None
    design: str
    baselines: bool
    checkpoint: str | None
    resume: bool

    @classmethod
    def of(cls, config: Any) -> ResolvedConfig:
        """The resolved form of an object of any class with these fields, whose values it checks.

        **Raises** as `ExperimentConfig.resolved`.
        """
        link = get_link(config.link, rank=config.rank)
        dim = size("dim", config.dim)
        if link.rank > dim:
            raise InputError(f"rank={link.rank}: expected at most dim={dim}")
        samples = default_samples(dim) if config.samples is None else config.samples
        samples = size("samples", samples)
        steps = default_steps(samples, dim) if config.steps is None else config.steps
        schedule = choice("schedule", config.schedule, SCHEDULES)
        beta = 0.0 if schedule == "constant" and config.beta is None else config.beta
        return cls(
            link,
            rank=link.rank,
            dim=dim,
            samples=samples,
            steps=step_count("steps", steps),
            neurons=size("neurons", config.neurons, minimum=2),
            loss=get_loss(config.loss),
            activation=get_activation(config.activation),
            backend=choice("backend", config.backend, BACKENDS),
            device=config.device,
            dtype=dtype_name("dtype", config.dtype),
            # Larger seeds would have the random streams of smaller ones.
            seed=integer("seed", config.seed, minimum=0, maximum=2**32 - 1),
            noise=number("noise", config.noise, minimum=0.0),
            inputs=get_inputs(config.inputs),
            subspace=choice("subspace", config.subspace, SUBSPACES),
            schedule=schedule,
            eta=config.eta,
            beta=beta,
            init_norm=config.init_norm,
            remove_linear_part=config.remove_linear_part,
            centre=config.centre,
            ridge=number("ridge", config.ridge, minimum=0.0, exclusive=True),
            readout=choice("readout", config.readout, READOUTS),
            readout_neurons=size("readout_neurons", config.readout_neurons),
            test_samples=size("test_samples", config.test_samples, minimum=2),
            threads=None if config.threads is None else parallel_count("threads", config.threads),
            design=choice("design", config.design, DESIGNS),
            baselines=config.baselines,
            checkpoint=None if config.checkpoint is None else str(config.checkpoint),
            resume=config.resume,
        )

    def resolved(self) -> ResolvedConfig:
        """An equal one, checked again: `dataclasses.replace` takes any value."""
        return ResolvedConfig.of(self)

    def model(self) -> MultiIndexModel:
        """The model that the data is drawn from."""
        return MultiIndexModel(
            self.link,
            self.dim,
            noise=self.noise,
            inputs=self.inputs,
            subspace=self.subspace,
            seed=self.seed,
        )

    def to_json(self) -> Json:
        """The fields by name; links, losses, activations and inputs as their specifications."""
        return fields_by_name(self)


def fields_by_name(config: DataclassInstance) -> Json:
    """A configuration as JSON values, in the order of its fields."""
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    return {name: getattr(value, "name", value) for name, value in values.items()}
