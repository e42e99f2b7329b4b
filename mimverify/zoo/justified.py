"""Claims that need not catch a mutant."""

__all__ = ["JUSTIFIED"]

#: Claim id → why it is in the suite although it may catch no mutant.
JUSTIFIED: dict[str, str] = {}
