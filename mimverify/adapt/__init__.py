"""Trainers out of the code that people have."""

from typing import TYPE_CHECKING

from mimverify.support.lazy_package import lazy_names

if TYPE_CHECKING:
    from mimverify.adapt.program import process

__all__ = ["process"]

__getattr__, __dir__ = lazy_names(__name__, __file__)
