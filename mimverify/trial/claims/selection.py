"""Claims selected by id, by profile, or by an expression like that of pytest's `-k`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from mimverify.support.errors import InputError
from mimverify.support.validation import choice
from mimverify.trial.claims.claim import Claim, load_claims
from mimverify.trial.profile import PROFILES, profiles_up_to

__all__ = ["matching", "select_claims"]

_TOKEN = re.compile(r"\s*(\(|\)|[A-Za-z0-9_-]+)")


def select_claims(
    ids: Iterable[str] | None,
    profile: str | None = None,
    claims: Mapping[str, Claim] | None = None,
) -> dict[str, Claim]:
    """The claims of these ids, in their set's order; without any, all that a profile includes.

    **Arguments**

    - `ids`: None or empty for all.
    - `profile`: name of the profile that counts when there are no ids; None for the largest.
    - `claims`: of the set, by id; mimverify's own by default.

    **Raises** `InputError` for an unknown id or profile.
    """
    claims = load_claims() if claims is None else claims
    ids = (ids,) if isinstance(ids, str) else ids
    wanted = {choice("claim", name, claims) for name in ids or ()}
    tried = profiles_up_to(profile or list(PROFILES)[-1])
    return {
        name: claim
        for name, claim in claims.items()
        if (name in wanted if wanted else claim.profile in tried)
    }


def matching(expression: str, ids: Iterable[str]) -> list[str]:
    """Those of `ids` that match the expression.

    A word matches ids that contain it, in upper or lower case, with `_` for `-` as it likes;
    `and`, `or`, `not` and parentheses combine words: `"step and not error"`.

    **Raises** `InputError` for an invalid expression, or one that matches no id.
    """
    tokens = _tokens(expression)
    found = [name for name in ids if _Parser(expression, tokens, name).value()]
    if not found:
        raise InputError(f"-k {expression!r}: holds for no claim")
    return found


def _tokens(expression: str) -> list[str]:
    tokens, position, text = [], 0, expression.rstrip()
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise InputError(
                f"-k {expression!r}: {text[position:].strip()[0]!r} is not understood; expected "
                "parts of ids, and, or, not and parentheses"
            )
        tokens.append(token[1])
        position = token.end()
    return tokens


def _plain(word: str) -> str:
    return word.lower().replace("_", "-")


class _Parser:
    """Recursive descent; `and` binds tighter than `or`, `not` tighter than both."""

    def __init__(self, expression: str, tokens: list[str], name: str) -> None:
        self._expression, self._tokens, self._name = expression, list(reversed(tokens)), name

    def value(self) -> bool:
        found = self._disjunction()
        if self._tokens:
            raise self._error()
        return found

    def _disjunction(self) -> bool:
        found = self._conjunction()
        while self._take("or"):
            found = self._conjunction() or found  # parse the rest in any case
        return found

    def _conjunction(self) -> bool:
        found = self._negation()
        while self._take("and"):
            found = self._negation() and found
        return found

    def _negation(self) -> bool:
        if self._take("not"):
            return not self._negation()
        if self._take("("):
            found = self._disjunction()
            if not self._take(")"):
                raise self._error()
            return found
        if not self._tokens or self._tokens[-1].lower() in ("and", "or", ")"):
            raise self._error()
        return _plain(self._tokens.pop()) in _plain(self._name)

    def _take(self, word: str) -> bool:
        if self._tokens and self._tokens[-1].lower() == word:
            self._tokens.pop()
            return True
        return False

    def _error(self) -> InputError:
        at = f"unexpected {self._tokens[-1]!r}" if self._tokens else "it ends too early"
        return InputError(f"-k {self._expression!r}: {at}")
