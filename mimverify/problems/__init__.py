"""Problems: links, hidden subspaces and the multi-index models made of them."""

from mimverify.problems.links import LINKS, Link, get_link
from mimverify.problems.model import PURPOSES, Dataset, MultiIndexModel
from mimverify.problems.streams import BLOCK_ROWS, row_blocks
from mimverify.problems.subspace import haar_subspace

__all__ = [
    "BLOCK_ROWS",
    "LINKS",
    "PURPOSES",
    "Dataset",
    "Link",
    "MultiIndexModel",
    "get_link",
    "haar_subspace",
    "row_blocks",
]
