"""Predictions: what docs/theory.md derives about a trajectory, computed.

`inspect_link` analyses a link, `predict` a whole run; what they are composed of is public as
well. Nothing here has a free constant. Derivations: docs/theory-engine.md.
"""

from typing import TYPE_CHECKING

from mimverify.support.lazy_package import lazy_names

if TYPE_CHECKING:
    from mimverify.statistics import null_overlap_cdf
    from mimverify.theory.all_thresholds import LinkThresholds, LossThresholds, link_thresholds
    from mimverify.theory.analysis import TransformAnalysis, analyse_transform, transform_overlaps
    from mimverify.theory.closed_forms import (
        bulk_edges,
        closed_form_n_half,
        collapse_fraction,
        corrected_alignment,
        error_floor,
        fresh_samples_alignment,
        large_ratio_alignment,
        outlier_locations,
        plateau,
        spurious_outlier,
    )
    from mimverify.theory.conditional.information import LabelInformation, label_information
    from mimverify.theory.conditional.optimal import OptimalTransform, optimal_transform
    from mimverify.theory.inspection import Assumption, LinkInspection, inspect_link
    from mimverify.theory.labels.label_law import (
        LabelLaw,
        label_law,
        realised_law,
        sampled_law,
        truncated_law,
    )
    from mimverify.theory.labels.label_measure import LabelMeasure, label_measure
    from mimverify.theory.labels.transforms import LabelTransform
    from mimverify.theory.limits.bayes_limits import (
        BayesLimits,
        BayesPoint,
        LearningJump,
        Threshold,
        bayes_limits,
    )
    from mimverify.theory.limits.finite_floor import bayes_floor
    from mimverify.theory.prediction import Prediction, predict
    from mimverify.theory.reach import ReachedThresholds, reached_thresholds
    from mimverify.theory.readout_error.error_prediction import (
        ErrorParts,
        TestErrorPrediction,
        predict_test_error,
    )
    from mimverify.theory.readout_error.error_scaling import (
        ErrorExponent,
        SamplesForError,
        error_exponent,
        samples_for_error,
    )
    from mimverify.theory.recommendations import Recommendation
    from mimverify.theory.sample_sizes import local_exponent, n_half
    from mimverify.theory.spectrum.krylov import NeuronModel
    from mimverify.theory.spectrum.resolvent import Outlier, Resolvent
    from mimverify.theory.spectrum.span import SpanPrediction, predict_span
    from mimverify.theory.spectrum.thresholds import (
        Thresholds,
        descent_threshold,
        overlap_curve,
        spectral_thresholds,
        thresholds,
    )
    from mimverify.theory.steps import StepCount, Window, recommended_steps, span_window
    from mimverify.theory.trajectory import Trajectory, predict_trajectory, trajectory_of
    from mimverify.theory.universality import kurtosis_shift, universality_note

__all__ = [
    "Assumption",
    "BayesLimits",
    "BayesPoint",
    "ErrorExponent",
    "ErrorParts",
    "LabelInformation",
    "LabelLaw",
    "LabelMeasure",
    "LabelTransform",
    "LearningJump",
    "LinkInspection",
    "LinkThresholds",
    "LossThresholds",
    "NeuronModel",
    "OptimalTransform",
    "Outlier",
    "Prediction",
    "ReachedThresholds",
    "Recommendation",
    "Resolvent",
    "SamplesForError",
    "SpanPrediction",
    "StepCount",
    "TestErrorPrediction",
    "Threshold",
    "Thresholds",
    "Trajectory",
    "TransformAnalysis",
    "Window",
    "analyse_transform",
    "bayes_floor",
    "bayes_limits",
    "bulk_edges",
    "closed_form_n_half",
    "collapse_fraction",
    "corrected_alignment",
    "descent_threshold",
    "error_exponent",
    "error_floor",
    "fresh_samples_alignment",
    "inspect_link",
    "kurtosis_shift",
    "label_information",
    "label_law",
    "label_measure",
    "large_ratio_alignment",
    "link_thresholds",
    "local_exponent",
    "n_half",
    "null_overlap_cdf",
    "optimal_transform",
    "outlier_locations",
    "overlap_curve",
    "plateau",
    "predict",
    "predict_span",
    "predict_test_error",
    "predict_trajectory",
    "reached_thresholds",
    "realised_law",
    "recommended_steps",
    "sampled_law",
    "samples_for_error",
    "span_window",
    "spectral_thresholds",
    "spurious_outlier",
    "thresholds",
    "trajectory_of",
    "transform_overlaps",
    "truncated_law",
    "universality_note",
]

__getattr__, __dir__ = lazy_names(__name__, __file__)
