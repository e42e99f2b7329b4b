"""mimverify: property-based verification of a theorem on training two-layer networks.

The theorem (arXiv:2511.15120): layer-wise gradient descent learns a generic Gaussian
multi-index model with Õ(d) samples in Õ(d²) time, if its first layer takes more than O(1)
steps. See README.md for the two commands and the Python interface.
"""

from importlib import import_module

from mimverify.support.errors import (
    DivergenceError,
    InputError,
    MimverifyError,
    OutputError,
    TrainerError,
)

# As `typing` has it. With `python -m mimverify` the current folder is still ahead of the standard
# library here: nothing is imported from there before `__main__` mends that.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from mimverify.experiment import Experiment, ExperimentConfig, ExperimentResult, run_experiment
    from mimverify.fitting import FileFit, FitResult, fit_files
    from mimverify.given_data import Diagnosis, diagnose, diagnose_files
    from mimverify.measure import (
        Recorder,
        alignment,
        baseline_predictors,
        normalised_error,
        overlaps,
        principal_cosines,
        reduce_model,
        span_recovery,
        test_errors,
    )
    from mimverify.network import (
        ACTIVATIONS,
        LOSSES,
        Activation,
        Loss,
        Network,
        get_activation,
        get_loss,
        symmetric_start,
    )
    from mimverify.performance.competitors import fastest_backend
    from mimverify.problems import (
        LINKS,
        Dataset,
        InputLaw,
        Link,
        MatrixRows,
        MultiIndexModel,
        get_inputs,
        get_link,
        haar_subspace,
    )
    from mimverify.support.version import __version__
    from mimverify.training import (
        LayerwiseTrainer,
        default_samples,
        default_steps,
        numpy_trainer,
        torch_trainer,
    )
    from mimverify.trial import check, parametrize_with_claims

__all__ = [
    "ACTIVATIONS",
    "LINKS",
    "LOSSES",
    "Activation",
    "Dataset",
    "Diagnosis",
    "DivergenceError",
    "Experiment",
    "ExperimentConfig",
    "ExperimentResult",
    "FileFit",
    "FitResult",
    "InputError",
    "InputLaw",
    "LayerwiseTrainer",
    "Link",
    "Loss",
    "MatrixRows",
    "MimverifyError",
    "MultiIndexModel",
    "Network",
    "OutputError",
    "Recorder",
    "TrainerError",
    "__version__",
    "alignment",
    "baseline_predictors",
    "check",
    "default_samples",
    "default_steps",
    "diagnose",
    "diagnose_files",
    "fastest_backend",
    "fit_files",
    "get_activation",
    "get_inputs",
    "get_link",
    "get_loss",
    "haar_subspace",
    "normalised_error",
    "numpy_trainer",
    "overlaps",
    "parametrize_with_claims",
    "principal_cosines",
    "reduce_model",
    "run_experiment",
    "span_recovery",
    "symmetric_start",
    "test_errors",
    "torch_trainer",
]


# The packages that define the other names. Each is imported at its first use: the worker process
# of a trainer needs none of them, and training alone does not import Hypothesis.
_PACKAGES: dict[str, tuple[str, ...]] = {
    "adapt": (),
    "experiment": ("Experiment", "ExperimentConfig", "ExperimentResult", "run_experiment"),
    "fitting": ("FileFit", "FitResult", "fit_files"),
    "given_data": ("Diagnosis", "diagnose", "diagnose_files"),
    "measure": (
        "Recorder",
        "alignment",
        "baseline_predictors",
        "normalised_error",
        "overlaps",
        "principal_cosines",
        "reduce_model",
        "span_recovery",
        "test_errors",
    ),
    "network": (
        "ACTIVATIONS",
        "LOSSES",
        "Activation",
        "Loss",
        "Network",
        "get_activation",
        "get_loss",
        "symmetric_start",
    ),
    "performance.competitors": ("fastest_backend",),
    "problems": (
        "LINKS",
        "Dataset",
        "InputLaw",
        "Link",
        "MatrixRows",
        "MultiIndexModel",
        "get_inputs",
        "get_link",
        "haar_subspace",
    ),
    "sklearn": (),
    "support.version": ("__version__",),
    "training": (
        "LayerwiseTrainer",
        "default_samples",
        "default_steps",
        "numpy_trainer",
        "torch_trainer",
    ),
    "trial": ("check", "parametrize_with_claims"),
}
_DEFINED_IN = {name: package for package, names in _PACKAGES.items() for name in names}


def __getattr__(name: str) -> object:
    if name in _DEFINED_IN:
        value = getattr(import_module(f"mimverify.{_DEFINED_IN[name]}"), name)
    elif name in _PACKAGES:
        value = import_module(f"mimverify.{name}")
    elif name.endswith("_trainer") and (found := _trainer(name)) is not None:
        value = found
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _trainer(name: str) -> object:
    """The reference trainer on another backend; None if there is none of that name."""
    from mimverify.training.on_backend import trainer_named

    return trainer_named(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
