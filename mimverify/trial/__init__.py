"""The trial of a trainer: claims, decisions and verdicts.

The public interface, for the suite (`properties/`) and for users' own test suites.
"""

from typing import TYPE_CHECKING

from mimverify.support.lazy_package import lazy_names

if TYPE_CHECKING:
    from mimverify.handles import Capabilities, InProcessTrainer, TrainerHandle
    from mimverify.handles.memory_forms import MEMORY_FORMS
    from mimverify.handles.operations import COPIES
    from mimverify.handles.own_methods import Capability, Method
    from mimverify.support.settings_text import settings_text
    from mimverify.trial.claims.cases import (
        KINDS,
        ONE_STEP_KINDS,
        SYMMETRIC_KINDS,
        ExactCase,
        LearningCase,
        choices,
        exact_cases,
        learning_cases,
    )
    from mimverify.trial.claims.claim import (
        CLAIM_SET_VERSION,
        Claim,
        claim,
        load_claims,
        suite_path,
    )
    from mimverify.trial.claims.claim_set import ClaimSet, Pack, PackOrigin
    from mimverify.trial.claims.deviations import (
        as_predicted,
        deviation_of_odds,
        prediction_accuracy,
        squared_deviation,
    )
    from mimverify.trial.claims.fit_errors import explained_errors
    from mimverify.trial.claims.functions import (
        CURVED_ACTIVATIONS,
        EVEN_ACTIVATIONS,
        LIPSCHITZ_LOSSES,
        NAMED_ACTIVATIONS,
        STEP_ACTIVATIONS,
        STEP_LOSSES,
    )
    from mimverify.trial.claims.learning import (
        DEVIATIONS,
        WELL_CONDITIONED,
        error_after_fit,
        first_layer,
        fit_dtype,
        log_odds,
        loss_used,
        mean_log_odds,
        near_odds,
        odds_above,
        odds_below,
        readout_error,
        training_data,
    )
    from mimverify.trial.claims.ledger import Ledger
    from mimverify.trial.claims.loading import PackError, load_claim_set, locate_pack
    from mimverify.trial.claims.predictions import HALF_THE_DIGITS, NEGLIGIBLE, same_predictions
    from mimverify.trial.claims.selection import select_claims
    from mimverify.trial.claims.unstored import UnstoredRun, first_layer_unstored
    from mimverify.trial.decisions import (
        DIRECTIONS,
        CountedOperations,
        Decision,
        DecisionEvidence,
        Event,
        ExactDecision,
        ExactState,
        Law,
        LimitOrder,
        Mean,
        MemoryUse,
        Observed,
        Rounding,
        Shown,
        StatisticalDecision,
        StatisticalState,
        TwoSamples,
        above,
        below,
        between,
        near,
    )
    from mimverify.trial.decisions.declared import (
        MissingDecisionError,
        RepeatedDecisionError,
        UnbudgetedExampleError,
        UndeclaredDecisionError,
    )
    from mimverify.trial.outcomes import (
        ClaimError,
        ClaimFailed,
        Inconclusive,
        NotApplicable,
        Status,
    )
    from mimverify.trial.profile import FALSE_ALARM_BUDGET, PROFILES, Profile
    from mimverify.trial.reference.envelope import (
        accumulate,
        lipschitz,
        step_envelope,
        unit_roundoff,
    )
    from mimverify.trial.reference.oracle import (
        ORACLE_ACTIVATIONS,
        ORACLE_LOSSES,
        exact_step,
        exact_trajectory,
        label_covariance,
    )
    from mimverify.trial.running.api import BoundClaim, check, parametrize_with_claims
    from mimverify.trial.running.evidence import Evidence
    from mimverify.trial.running.session import REFERENCE_TRAINERS, Session
    from mimverify.trial.running.settings import TrialSettings
    from mimverify.trial.running.trial import Trial
    from mimverify.trial.running.verdict import Verdict
    from mimverify.trial.trainer.adapter import (
        STANDARD_ACTIVATIONS,
        STANDARD_DTYPES,
        STANDARD_LOSSES,
        TrainerUnderTrial,
    )

__all__ = [
    "CLAIM_SET_VERSION",
    "COPIES",
    "CURVED_ACTIVATIONS",
    "DEVIATIONS",
    "DIRECTIONS",
    "EVEN_ACTIVATIONS",
    "FALSE_ALARM_BUDGET",
    "HALF_THE_DIGITS",
    "KINDS",
    "LIPSCHITZ_LOSSES",
    "MEMORY_FORMS",
    "NAMED_ACTIVATIONS",
    "NEGLIGIBLE",
    "ONE_STEP_KINDS",
    "ORACLE_ACTIVATIONS",
    "ORACLE_LOSSES",
    "PROFILES",
    "REFERENCE_TRAINERS",
    "STANDARD_ACTIVATIONS",
    "STANDARD_DTYPES",
    "STANDARD_LOSSES",
    "STEP_ACTIVATIONS",
    "STEP_LOSSES",
    "SYMMETRIC_KINDS",
    "WELL_CONDITIONED",
    "BoundClaim",
    "Capabilities",
    "Capability",
    "Claim",
    "ClaimError",
    "ClaimFailed",
    "ClaimSet",
    "CountedOperations",
    "Decision",
    "DecisionEvidence",
    "Event",
    "Evidence",
    "ExactCase",
    "ExactDecision",
    "ExactState",
    "InProcessTrainer",
    "Inconclusive",
    "Law",
    "LearningCase",
    "Ledger",
    "LimitOrder",
    "Mean",
    "MemoryUse",
    "Method",
    "MissingDecisionError",
    "NotApplicable",
    "Observed",
    "Pack",
    "PackError",
    "PackOrigin",
    "Profile",
    "RepeatedDecisionError",
    "Rounding",
    "Session",
    "Shown",
    "StatisticalDecision",
    "StatisticalState",
    "Status",
    "TrainerHandle",
    "TrainerUnderTrial",
    "Trial",
    "TrialSettings",
    "TwoSamples",
    "UnbudgetedExampleError",
    "UndeclaredDecisionError",
    "UnstoredRun",
    "Verdict",
    "above",
    "accumulate",
    "as_predicted",
    "below",
    "between",
    "check",
    "choices",
    "claim",
    "deviation_of_odds",
    "error_after_fit",
    "exact_cases",
    "exact_step",
    "exact_trajectory",
    "explained_errors",
    "first_layer",
    "first_layer_unstored",
    "fit_dtype",
    "label_covariance",
    "learning_cases",
    "lipschitz",
    "load_claim_set",
    "load_claims",
    "locate_pack",
    "log_odds",
    "loss_used",
    "mean_log_odds",
    "near",
    "near_odds",
    "odds_above",
    "odds_below",
    "parametrize_with_claims",
    "prediction_accuracy",
    "readout_error",
    "same_predictions",
    "select_claims",
    "settings_text",
    "squared_deviation",
    "step_envelope",
    "suite_path",
    "training_data",
    "unit_roundoff",
]

__getattr__, __dir__ = lazy_names(__name__, __file__)
