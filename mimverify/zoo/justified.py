"""Claims that may kill nothing."""

__all__ = ["JUSTIFIED"]

#: Claim id → why it is in the suite although it alone may catch no animal of the zoo.
JUSTIFIED: dict[str, str] = {}
