"""Finding a trainer, and making a fresh one for every example."""

from __future__ import annotations

import copy
import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from mimverify.handles.capabilities import (
    has_parameters,
    methods_of,
    name_of,
    random_state_parameters,
)
from mimverify.handles.main_module import is_of_main, main_remedy
from mimverify.handles.methods import SIGNATURES
from mimverify.handles.own_methods import Signatures
from mimverify.handles.pipe import PREFIX, PipeSource
from mimverify.handles.suggestions import meant_by
from mimverify.handles.tracebacks import trainer_error
from mimverify.support.errors import InputError, TrainerError
from mimverify.support.former_names import refusal_of
from mimverify.support.importing import load_attribute, summarise

__all__ = ["check_random_state", "load_source", "new_trainer"]


def load_source(spec: str) -> object:
    """The trainer that `spec` names: `"module:attribute"`, see `load_attribute`, or
    `"process:command"`, see `PipeSource`.

    **Raises** `TrainerError` of kind `"import"` where that raises `InputError`.
    """
    try:
        if spec.startswith(PREFIX):
            return PipeSource(spec.removeprefix(PREFIX))
        return load_attribute("trainer", spec)
    except InputError as error:
        if is_of_main(spec):
            text = f"{error}: '__main__' is the program that runs the trial; {main_remedy(spec)}"
            raise trainer_error("import", text, error.__cause__) from error
        hint = "" if "did you mean" in str(error) else meant_by(spec)
        raise trainer_error("import", f"{error}{hint}", error.__cause__) from error


def new_trainer(
    source: object, random_state: int | None = None, signatures: Signatures = SIGNATURES
) -> object:
    """A trainer without state from earlier examples.

    **Arguments**

    - `source`: a class, or a callable without trainer methods: called without arguments. Or
      an instance: cloned the way scikit-learn does if it has `get_params` and `set_params`,
      by `copy.deepcopy` otherwise.
    - `random_state`: a seed for the `random_state` of the new object, where it has one (as
      a parameter, those of nested estimators included, or as an attribute). None leaves it.
    - `signatures`: of the methods, one of which it has to offer.

    **Raises** `TrainerError` of kind `"construct"`, naming what went wrong; `InputError` for
    a seed that is not one.
    """
    check_random_state(random_state)
    if inspect.isclass(source) or (callable(source) and not methods_of(source, signatures)):
        trainer = _made_by(source)
    elif methods_of(source, signatures):
        trainer = _cloned(source)
    else:
        trainer = source
    if inspect.isclass(trainer):
        message = f"{name_of(source)}() returned the class {trainer.__name__}, not an instance"
        raise TrainerError("construct", message)
    refused = refusal_of(trainer)
    if refused:
        raise TrainerError("construct", f"{name_of(trainer)}: {refused}")
    if not methods_of(trainer, signatures):
        message = (
            f"{name_of(trainer)} is no trainer: expected an object with at least one of "
            f"the methods {', '.join(signatures)}"
        )
        raise TrainerError("construct", message)
    if random_state is not None:
        _set_random_state(trainer, random_state)
    return trainer


def check_random_state(random_state: int | None) -> None:
    """**Raises** `InputError` unless this is None or a seed that NumPy's legacy generator and
    scikit-learn take: an integer in [0, 2**32)."""
    if random_state is None:
        return
    integral = isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool)
    if not integral or not 0 <= random_state < 2**32:
        raise InputError(f"random_state={random_state!r}: expected None or 0 <= integer < 2**32")


def _made_by(factory: Callable[[], object]) -> object:
    try:
        made = factory()
    except TrainerError:  # of a process, which says what went wrong with it
        raise
    except (Exception, SystemExit) as error:
        message = f"{name_of(factory)}() raised {summarise(error)}"
        raise trainer_error("construct", message, error) from error
    return made


def _cloned(instance: object) -> object:
    try:
        if has_parameters(instance):
            return _clone_estimator(instance)
        return copy.deepcopy(instance)
    except (Exception, SystemExit) as error:
        message = f"copying the instance of {name_of(instance)} raised {summarise(error)}"
        advice = "; name its class or a function that returns a new one instead"
        raise trainer_error("construct", message, error, advice=advice) from error


def _clone_estimator(instance: Any) -> object:  # Any: scikit-learn has no types
    """What `sklearn.base.clone` does; that function itself if scikit-learn is imported.

    scikit-learn is never imported for an estimator that does not come from it: that takes a
    second, and it may not be installed.
    """
    module = type(instance).__module__.partition(".")[0]
    if module == "sklearn" or "sklearn.base" in sys.modules:
        made: object = importlib.import_module("sklearn.base").clone(instance)
        return made
    parameters = instance.get_params(deep=False)
    return type(instance)(**{name: _clone_value(value) for name, value in parameters.items()})


def _clone_value(value: object) -> object:
    if has_parameters(value) and not inspect.isclass(value):
        return _clone_estimator(value)
    return copy.deepcopy(value)


def _set_random_state(trainer: Any, random_state: int) -> None:  # Any: as above
    seed = int(random_state)
    try:
        names = random_state_parameters(trainer)
        if len(names) > 1:  # the estimators of a pipeline must not share one stream
            seeds = np.random.SeedSequence(seed).generate_state(len(names))
            trainer.set_params(**dict(zip(names, map(int, seeds), strict=True)))
        elif names:
            trainer.set_params(**{names[0]: seed})
        elif hasattr(trainer, "random_state"):
            trainer.random_state = seed
    except (Exception, SystemExit) as error:
        message = f"setting random_state of {name_of(trainer)} raised {summarise(error)}"
        raise trainer_error("construct", message, error) from error
