"""The rows that Judgesmith keeps in Postgres, one file a subject. The schema comes from `migrations/` alone.

Rows are imported from here (`from judge.tables import IterationRow`) and never from one of the files: foreign
keys name tables of other subjects, so the metadata is whole only once all of them are loaded.
"""

from judge.tables.access import ApiKey, AuditEntry, TenantRow
from judge.tables.base import Base
from judge.tables.batches import BatchLineRow, BatchRow
from judge.tables.decisions import DecisionRow, DriftWindowRow, RewardAnswerRow
from judge.tables.evaluations import (
    BenchmarkItemRow,
    BenchmarkOutcomeRow,
    BenchmarkRunRow,
    BenchmarkSetRow,
    EvaluationRow,
)
from judge.tables.instructions import ErasureRow, InstructionRow, QuarantineRow
from judge.tables.iterations import CampaignRow, IterationRow, ScheduleRow, StageRow
from judge.tables.protected import AnchorRow, ProtectedGramRow, ProtectedRow
from judge.tables.reviews import ReviewItemRow, ReviewRow, ReviewVerdictRow
from judge.tables.training import (
    ClassificationRow,
    DropRow,
    ExampleRow,
    JudgmentRow,
    PairRow,
    ResponseRow,
    SelectionRow,
)
from judge.tables.trials import TrialDecisionRow, TrialRow
from judge.tables.versions import Alias, ModelVersion, PinRow

__all__ = [
    "Alias",
    "AnchorRow",
    "ApiKey",
    "AuditEntry",
    "Base",
    "BatchLineRow",
    "BatchRow",
    "BenchmarkItemRow",
    "BenchmarkOutcomeRow",
    "BenchmarkRunRow",
    "BenchmarkSetRow",
    "CampaignRow",
    "ClassificationRow",
    "DecisionRow",
    "DriftWindowRow",
    "DropRow",
    "ErasureRow",
    "EvaluationRow",
    "ExampleRow",
    "InstructionRow",
    "IterationRow",
    "JudgmentRow",
    "ModelVersion",
    "PairRow",
    "PinRow",
    "ProtectedGramRow",
    "ProtectedRow",
    "QuarantineRow",
    "ResponseRow",
    "ReviewItemRow",
    "ReviewRow",
    "ReviewVerdictRow",
    "RewardAnswerRow",
    "ScheduleRow",
    "SelectionRow",
    "StageRow",
    "TenantRow",
    "TrialDecisionRow",
    "TrialRow",
]
