"""The broken trainers that belong to a set of claims."""

from __future__ import annotations

from mimverify.trial.claims.claim_set import ClaimSet
from mimverify.trial.claims.loading import PackError, load_module
from mimverify.zoo import zoo
from mimverify.zoo.justified import JUSTIFIED
from mimverify.zoo.record import Mutant, records_in

__all__ = ["categories_of", "justified_in", "mutants_of"]


def mutants_of(claim_set: ClaimSet) -> tuple[Mutant, ...]:
    """The zoo, or the mutants of a pack: the classes of its module that `broken` records.

    **Raises** `PackError` where a pack has no mutants, or one whose record names a claim that the
    pack does not have.
    """
    origin, name = claim_set.origin, claim_set.about.mutants
    if origin is None:
        return zoo()
    where = f"pack={origin.name!r}"
    if not name:
        raise PackError(f"{where}: has no mutants; name their module, Pack(mutants='…')")
    found = records_in(load_module(origin, name))
    if not found:
        raise PackError(f"{where}: {name!r} has no mutants; expected classes with @broken(…)")
    for mutant in found:
        if mutant.caught_by is not None and mutant.caught_by not in claim_set.claims:
            raise PackError(
                f"{where}: caught_by={mutant.caught_by!r} of {mutant.name}: there is no such claim"
            )
    return found


def categories_of(mutants: tuple[Mutant, ...]) -> tuple[str, ...]:
    """What is wrong with them, in their order."""
    return tuple(dict.fromkeys(mutant.category for mutant in mutants))


def justified_in(claim_set: ClaimSet) -> dict[str, str]:
    """Claims that need not catch a mutant, with the reason."""
    return dict(JUSTIFIED if claim_set.origin is None else claim_set.about.justified)
