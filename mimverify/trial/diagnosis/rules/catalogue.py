"""All known wrong rules."""

from __future__ import annotations

from mimverify.trial.diagnosis.rule import Rule
from mimverify.trial.diagnosis.rules import (
    earlier_calls,
    earlier_steps,
    fitted_constants,
    gradient_length,
    labels_and_inputs,
    memory_layout,
    mirrored_halves,
    number_formats,
    other_optimisers,
    output_layer,
    rows_used,
    single_precision,
    sizes_and_axes,
    special_values,
    substituted_functions,
    unmoved_weights,
    weight_decay,
)

__all__ = ["RULES"]

_FAMILIES = (
    weight_decay, gradient_length, rows_used, labels_and_inputs, substituted_functions,
    output_layer, unmoved_weights, mirrored_halves, sizes_and_axes, special_values,
    earlier_steps, other_optimisers, number_formats, single_precision, fitted_constants,
    earlier_calls, memory_layout,
)  # fmt: skip

#: Rules by name, those without a fitted constant first.
RULES: dict[str, Rule] = {rule.name: rule for family in _FAMILIES for rule in family.RULES}
