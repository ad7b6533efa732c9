"""The rows that Judgesmith keeps in Postgres, one file a subject. The schema comes from `migrations/` alone.

Rows are imported from here (`from judge.store.tables import IterationRow`) and never from one of the files:
foreign keys name tables of other subjects, so the metadata is whole only once all of them are loaded.
"""

from judge.store.tables.access import ApiKey, AuditEntry, TenantRow
from judge.store.tables.base import Base
from judge.store.tables.batches import BatchLineRow, BatchRow
from judge.store.tables.decisions import DecisionRow, DriftWindowRow, RewardAnswerRow
from judge.store.tables.evaluations import (
    BenchmarkItemRow,
    BenchmarkOutcomeRow,
    BenchmarkRunRow,
    BenchmarkSetRow,
    EvaluationRow,
)
from judge.store.tables.instructions import ErasureRow, InstructionRow, QuarantineRow
from judge.store.tables.iterations import CampaignRow, IterationRow, ScheduleRow, StageRow
from judge.store.tables.protected import AnchorRow, ProtectedGramRow, ProtectedRow
from judge.store.tables.reviews import ReviewItemRow, ReviewRow, ReviewVerdictRow
from judge.store.tables.training import (
    ClassificationRow,
    DropRow,
    ExampleRow,
    JudgmentRow,
    PairRow,
    ResponseRow,
    SelectionRow,
)
from judge.store.tables.trials import TrialDecisionRow, TrialRow
from judge.store.tables.versions import Alias, ModelVersion, PinRow

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
