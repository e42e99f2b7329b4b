"""The theory engine, each time in a new process, where its caches are empty."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from .common import FULL

#: Labels of relu-sum are unbounded: under the squared loss they are simulated, which is slow.
LINKS = ["cos2z", "sign-z1z2", "relu-sum"] if FULL else ["cos2z", "sign-z1z2"]


class Answer(ABC):
    """Time of one statement, imports not counted. A new benchmark is a subclass with `code`."""

    params: ClassVar[Any] = (LINKS, ["squared", "huber"])
    param_names = ("link", "loss")
    version = "1"
    timeout = 300
    rounds = 1
    number = 1
    repeat = (2, 5, 10.0)
    warmup_time = 0

    @abstractmethod
    def code(self, link: str, loss: str) -> str:
        """The statement; it sees `mimverify.theory` as `theory`."""

    def timeraw_answer(self, link: str, loss: str) -> tuple[str, str]:
        return self.code(link, loss), "import mimverify.theory as theory"


class Inspect(Answer):
    """The analysis of a link: thresholds, information, every built-in loss."""

    params = (LINKS, ["squared"])

    def code(self, link: str, loss: str) -> str:
        return f"theory.inspect_link({link!r}, {loss!r})"


class Predict(Answer):
    """All predictions for a run."""

    def code(self, link: str, loss: str) -> str:
        return f"theory.predict({link!r}, {loss!r}, dim=1024, samples=16384, steps=4)"


class Alignment(Answer):
    """The alignment step by step alone."""

    def code(self, link: str, loss: str) -> str:
        return f"theory.predict_trajectory({link!r}, {loss!r}, dim=1024, samples=16384, steps=4)"
