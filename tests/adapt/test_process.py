"""Tests of `mimverify.adapt.process` with the examples: programs in C and in R on trial."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mimverify
from mimverify.adapt import process
from mimverify.trial import check

EXAMPLES = Path(mimverify.__file__).parents[1] / "examples"
#: A quick one of each sort: on arrays that are sent, and on fits.
CLAIMS = ("gradient-step", "refit")


def statuses(trainer: object, *claims: str) -> dict[str, str]:
    (tried,) = check(trainer, claims=claims).trainers
    return {verdict.id: str(verdict.status) for verdict in tried.verdicts}


@pytest.fixture(scope="module")
def trainer_in_c(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler, cc")
    built = tmp_path_factory.mktemp("c") / "trainer"
    source = EXAMPLES / "c-trainer" / "trainer.c"
    strict = ["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    subprocess.run([compiler, *strict, "-O2", "-o", built, source, "-lm"], check=True)
    return str(built)


def test_the_trainer_in_c_passes(trainer_in_c: str) -> None:
    assert statuses(process([trainer_in_c]), *CLAIMS) == dict.fromkeys(CLAIMS, "passed")


def test_a_mistake_in_the_trainer_in_c_is_found(trainer_in_c: str, tmp_path: Path) -> None:
    """Weight decay with the wrong sign: failed, which is another thing than an error."""
    source = (EXAMPLES / "c-trainer" / "trainer.c").read_text(encoding="utf-8")
    wrong = source.replace("+ beta * W[k]);", "- beta * W[k]);")
    assert wrong != source
    (tmp_path / "wrong.c").write_text(wrong, encoding="utf-8")
    built = tmp_path / "wrong"
    subprocess.run(["cc", "-std=c11", "-o", built, tmp_path / "wrong.c", "-lm"], check=True)
    assert statuses(process([str(built)]), "gradient-step") == {"gradient-step": "failed"}


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="there is no Rscript")
def test_the_trainer_in_r_passes() -> None:
    source = process(["Rscript", "--vanilla", str(EXAMPLES / "r-trainer" / "trainer.R")])
    assert statuses(source, *CLAIMS) == dict.fromkeys(CLAIMS, "passed")


def test_the_name_is_found_without_the_others() -> None:
    program = "import sys, mimverify.adapt as a; a.process; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
