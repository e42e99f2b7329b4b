"""The reference trainer on a device that its name says, or `check --device`."""

from __future__ import annotations

import pytest

from mimverify import LayerwiseTrainer
from mimverify.cli.app import main
from mimverify.support.errors import InputError
from mimverify.support.importing import load_attribute
from mimverify.trial.running.session import trainer_spec


def _made(trainer: str) -> LayerwiseTrainer:
    factory = load_attribute("trainer", trainer_spec(trainer))
    assert callable(factory)
    made = factory()
    assert isinstance(made, LayerwiseTrainer)
    return made


def test_a_name_with_a_device_is_the_trainer_there() -> None:
    pytest.importorskip("torch")
    made = _made("torch:cpu")
    assert (made.backend, made.device) == ("torch", "cpu")


def test_a_device_that_is_not_there_is_refused_before_any_claim() -> None:
    pytest.importorskip("torch")
    with pytest.raises(InputError, match="device='nothing:3': Torch cannot use it"):
        _made("torch:nothing:3")


def test_other_names_stay() -> None:
    assert trainer_spec("numpy") == "mimverify:numpy_trainer"
    assert trainer_spec("torch") == "mimverify:torch_trainer"
    assert trainer_spec("mine:trainer") == "mine:trainer"
    with pytest.raises(InputError, match="device='Big card'"):
        trainer_spec("torch:Big card")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["numpy", "--device", "cpu"], "'numpy' chooses its own device"),
        (["mine:trainer", "--device", "cpu"], "'mine:trainer' chooses its own device"),
        (["--device", "nothing"], "Torch cannot use it"),
        (["--device", ""], "expected a Torch device"),
    ],
)
def test_check_refuses_a_wrong_device(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    with pytest.raises(SystemExit) as ended:
        main(["check", *words])
    assert ended.value.code == 2
    assert named in capsys.readouterr().err
