"""Problems: links, laws of inputs, hidden subspaces and the multi-index models made of them."""

from mimverify.problems.inputs import InputLaw, MatrixRows, get_inputs, input_names
from mimverify.problems.links import LINKS, Link, get_link
from mimverify.problems.model import PURPOSES, Dataset, MultiIndexModel
from mimverify.problems.streams import BLOCK_ROWS, DATA_DEFINITION, row_blocks
from mimverify.problems.subspace import SUBSPACES, haar_subspace

__all__ = [
    "BLOCK_ROWS",
    "DATA_DEFINITION",
    "LINKS",
    "PURPOSES",
    "SUBSPACES",
    "Dataset",
    "InputLaw",
    "Link",
    "MatrixRows",
    "MultiIndexModel",
    "get_inputs",
    "get_link",
    "haar_subspace",
    "input_names",
    "row_blocks",
]
