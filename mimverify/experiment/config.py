"""The configuration of an experiment, with names and defaults of `mimverify train`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from mimverify.experiment.resolved import ResolvedConfig, fields_by_name
from mimverify.network.activations import DEFAULT_ACTIVATION, Activation
from mimverify.network.losses import DEFAULT_LOSS, Loss
from mimverify.problems.inputs import InputLaw
from mimverify.problems.links import Link
from mimverify.support.strict_json import Json


@dataclass(frozen=True)
class ExperimentConfig:
    """The configuration of a run. Names and defaults are those of `mimverify train`.

    **Arguments**

    - `link`, `rank`: a `Link` or its specification; r only for a link that carries none.
    - `dim`, `samples`: d, and n *per stage*: both stages and the test set draw rows of
      their own. `samples=None` stands for n = ⌊d log² d⌋.
    - `steps`: T1; None stands for ceil(log d / log(n/d)) + 2, which needs n > d.
    - `seed`: of the subspace, the data, the start and the readout's biases.
    - `noise`: standard deviation of the labels' noise, the test set's included.
    - `inputs`: the law of the inputs, in both stages and the test set: an `InputLaw` or its
      specification.
    - `subspace`: how the hidden directions are drawn: `"haar"`, spread out, or `"axes"`,
      coordinate axes.
    - `test_samples`: rows of the test set.
    - `threads`: of every library's pool; None leaves them as they are.
    - `design`: how the inputs are held, one of `DESIGNS`: `"stored"` is in memory, and what the
      others do is in the files of `mimverify.experiment.designs`.
    - `baselines`: also fit the baselines of the test error.
    - `checkpoint`: a file `.npz` that holds the run as of its last step.
    - `resume`: continue from that file.
    - the other fields: as for `MultiIndexModel` and `LayerwiseTrainer`.

    Nothing is checked before `resolved`.
    """

    link: Link | str
    _: KW_ONLY
    rank: int | None = None
    dim: int = 256
    samples: int | None = None
    steps: int | None = None
    neurons: int = 64
    loss: Loss | str = DEFAULT_LOSS
    activation: Activation | str = DEFAULT_ACTIVATION
    backend: str = "numpy"
    device: str = "cpu"
    dtype: str = "float64"
    seed: int = 0
    noise: float = 0.0
    inputs: InputLaw | str = "gaussian"
    subspace: str = "haar"
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

    def resolved(self) -> ResolvedConfig:
        """This configuration with objects for names and figures for defaults.

        **Raises** `InputError` for a value that is out of range by itself. What depends on
        several values at once is left to those who use them.
        """
        return ResolvedConfig.of(self)

    def to_json(self) -> Json:
        """The fields by name; links, losses, activations and inputs as their specifications."""
        return fields_by_name(self)
