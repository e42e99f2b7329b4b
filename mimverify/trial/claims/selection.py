"""Claims chosen by their ids, by a profile, or by an expression as pytest's `-k` chooses tests."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mimverify.support.errors import InputError
from mimverify.support.validation import choice
from mimverify.trial.claims.claim import Claim, load_claims
from mimverify.trial.profile import PROFILES, profiles_up_to

__all__ = ["matching", "select_claims"]

_TOKEN = re.compile(r"\s*(\(|\)|[A-Za-z0-9_-]+)")


def select_claims(ids: Iterable[str] | None, profile: str | None = None) -> dict[str, Claim]:
    """The claims of these ids, in the suite's order; without any, all that a profile tries.

    **Arguments**

    - `ids`: None or none for all.
    - `profile`: name of the profile that is asked when there are no ids; None for the largest.

    **Raises** `InputError` for an unknown id or profile.
    """
    claims = load_claims()
    ids = (ids,) if isinstance(ids, str) else ids
    wanted = {choice("claim", name, claims) for name in ids or ()}
    tried = profiles_up_to(profile or list(PROFILES)[-1])
    return {
        name: claim
        for name, claim in claims.items()
        if (name in wanted if wanted else claim.profile in tried)
    }


def matching(expression: str, ids: Iterable[str]) -> list[str]:
    """Those of `ids` that the expression holds for.

    A word holds for ids that contain it, whatever the case; `and`, `or`, `not` and
    parentheses combine them: `"step and not error"`.

    **Raises** `InputError` for an expression that is none, or one that holds for no id.
    """
    words = _words(expression)
    found = [name for name in ids if _Parser(expression, words, name).value()]
    if not found:
        raise InputError(f"-k {expression!r}: holds for no claim")
    return found


def _words(expression: str) -> list[str]:
    words, position, text = [], 0, expression.rstrip()
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise InputError(
                f"-k {expression!r}: {text[position:].strip()[0]!r} is not understood; expected "
                "parts of ids, and, or, not and parentheses"
            )
        words.append(token[1])
        position = token.end()
    return words


class _Parser:
    """Recursive descent; `and` binds tighter than `or`, `not` tighter than both."""

    def __init__(self, expression: str, words: list[str], name: str) -> None:
        self._expression, self._words, self._name = expression, list(reversed(words)), name

    def value(self) -> bool:
        found = self._either()
        if self._words:
            raise self._refusal()
        return found

    def _either(self) -> bool:
        found = self._both()
        while self._take("or"):
            found = self._both() or found  # read what follows in any case
        return found

    def _both(self) -> bool:
        found = self._single()
        while self._take("and"):
            found = self._single() and found
        return found

    def _single(self) -> bool:
        if self._take("not"):
            return not self._single()
        if self._take("("):
            found = self._either()
            if not self._take(")"):
                raise self._refusal()
            return found
        if not self._words or self._words[-1].lower() in ("and", "or", ")"):
            raise self._refusal()
        return self._words.pop().lower() in self._name.lower()

    def _take(self, word: str) -> bool:
        if self._words and self._words[-1].lower() == word:
            self._words.pop()
            return True
        return False

    def _refusal(self) -> InputError:
        at = f"unexpected {self._words[-1]!r}" if self._words else "it ends too early"
        return InputError(f"-k {self._expression!r}: {at}")
