"""Laws of the inputs: Gaussian, others to compare it with, and the user's own."""

from mimverify.problems.inputs.base import InputLaw
from mimverify.problems.inputs.matrix_rows import MatrixRows
from mimverify.problems.inputs.naming import get_inputs, input_names

__all__ = ["InputLaw", "MatrixRows", "get_inputs", "input_names"]
