"""The reference trainer on a device that its name says, or `check --device`."""

from __future__ import annotations

import pytest

from mimverify import LayerwiseTrainer
from mimverify.backends import BACKENDS, BACKENDS_WITH_DEVICES, backend_class
from mimverify.cli.app import main
from mimverify.support.errors import InputError, TrainerError
from mimverify.support.importing import load_attribute
from mimverify.trial.running.session import open_trainer, trainer_spec


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
    for name in BACKENDS:
        assert trainer_spec(name) == f"mimverify:{name}_trainer"
        place = f"mimverify.training.on_device:{name}_on_cuda_1"
        devices = name in BACKENDS_WITH_DEVICES
        assert trainer_spec(f"{name}:cuda:1") == (place if devices else f"{name}:cuda:1")
    assert trainer_spec("mine:trainer") == "mine:trainer"
    with pytest.raises(InputError, match="device='Big card'"):
        trainer_spec("torch:Big card")


def test_a_trainer_whose_library_is_missing_names_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in BACKENDS:
        monkeypatch.setattr(backend_class(name), "modules", ("no_such_library",))
        monkeypatch.setattr(backend_class(name), "extra", "some")
        for trainer in (name, f"{name}:cuda") if name in BACKENDS_WITH_DEVICES else (name,):
            expected = rf"trainer={trainer!r}: needs no_such_library \(pip install 'mimverify\[some"
            with pytest.raises(TrainerError, match=expected) as raised:
                open_trainer(trainer, call_seconds=1.0)
            assert raised.value.kind == "import"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["numpy", "--device", "cpu"], "'numpy' chooses its own device"),
        (["mine:trainer", "--device", "cpu"], "'mine:trainer' chooses its own device"),
        (["--device", "nothing"], "Torch cannot use it"),
        (["--device", ""], "expected a Torch or JAX device"),
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
