"""The rows that Judgesmith keeps in Postgres. The schema itself comes from `migrations/` alone."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import JSON as PLAIN_JSON
from sqlalchemy import (
    BigInteger,
    Boolean,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from judge.comparison import Instruction, PreferencePair

JSON = dict[str, Any]
_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Common types: JSON is JSONB, times carry a zone, strings are unbounded."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        JSON: JSONB,
        list[Any]: JSONB,
        list[str]: ARRAY(Text),
        datetime: DateTime(timezone=True),
        str: Text,
        int: BigInteger,
    }


class ModelVersion(Base):
    """A model version; its weights are in the version store under the same id."""

    __tablename__ = "model_versions"

    id: Mapped[str] = mapped_column(primary_key=True)
    origin: Mapped[str]
    # One candidate an iteration. No foreign key: an iteration names versions, so it would be a circle.
    iteration_id: Mapped[int | None] = mapped_column(unique=True)
    manifest: Mapped[JSON]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Alias(Base):
    """The pointer from `champion` or `previous` to a version. `fence` grows with every change."""

    __tablename__ = "aliases"

    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    fence: Mapped[int]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AuditEntry(Base):
    """One administrative act: who did what to what."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor: Mapped[str]
    act: Mapped[str]
    details: Mapped[JSON] = mapped_column(server_default=text("'{}'::jsonb"))


class ApiKey(Base):
    """A bearer key: only the SHA-256 of its secret part is kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    tenant: Mapped[str]
    secret_sha256: Mapped[str]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    revoked_at: Mapped[datetime | None]


class InstructionRow(Base):
    """An unlabeled instruction; `digest` makes it unique, `signature` and `bands` find what is nearly it.

    `near_duplicates` counts what was not stored for being nearly the same. `scanned` is false until the scan
    for planted phrases has seen it; one that a person has `released` from quarantine does not go back there.
    `suspected`: what to quarantine it for once the iteration in progress, which works with it, is over.
    """

    __tablename__ = "instructions"
    __table_args__ = (
        Index("ix_instructions_bands", "bands", postgresql_using="gin"),
        Index("ix_instructions_tenant_created_at", "tenant", "created_at"),
        Index("ix_instructions_unscanned", "id", postgresql_where=text("NOT scanned")),
        Index("ix_instructions_suspected", "id", postgresql_where=text("suspected IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    digest: Mapped[str] = mapped_column(unique=True)
    messages: Mapped[list[Any]]
    source: Mapped[str]
    language: Mapped[str | None]
    tenant: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    signature: Mapped[bytes | None] = mapped_column(LargeBinary)
    bands: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))
    near_duplicates: Mapped[int] = mapped_column(server_default=text("0"))
    scanned: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    released: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    suspected: Mapped[JSON | None]


class QuarantineRow(Base):
    """An instruction that is kept apart, with the reason; no stage ever reads it."""

    __tablename__ = "quarantine"
    __table_args__ = (
        Index("ix_quarantine_bands", "bands", postgresql_using="gin"),
        Index("ix_quarantine_tenant_created_at", "tenant", "created_at"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(index=True)
    reason: Mapped[str]
    # The words of a planted phrase: later instructions with all of them follow.
    words: Mapped[list[str]] = mapped_column(server_default=text("'{}'::text[]"))
    digest: Mapped[str] = mapped_column(unique=True)
    messages: Mapped[list[Any]]
    source: Mapped[str]
    language: Mapped[str | None]
    tenant: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    quarantined_at: Mapped[datetime] = mapped_column(server_default=func.now())
    signature: Mapped[bytes | None] = mapped_column(LargeBinary)
    bands: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))


class ProtectedRow(Base):
    """A text that the loop must never train on: an anchor's instruction, or an item of a benchmark."""

    __tablename__ = "protected"
    __table_args__ = (UniqueConstraint("name", "item"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str]
    item: Mapped[str]
    grams: Mapped[int]
    anchor_id: Mapped[int | None] = mapped_column(ForeignKey("anchors.id", ondelete="CASCADE"), index=True)


class ProtectedGramRow(Base):
    """A run of words of a protected text, hashed."""

    __tablename__ = "protected_grams"

    gram: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    protected_id: Mapped[int] = mapped_column(
        ForeignKey("protected.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class TenantRow(Base):
    """What a tenant has agreed to; where a value is null, the process's setting holds."""

    __tablename__ = "tenants"

    name: Mapped[str] = mapped_column(primary_key=True)
    capture: Mapped[bool] = mapped_column(Boolean)
    daily_instructions: Mapped[int | None]
    retention_days: Mapped[int | None]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class ErasureRow(Base):
    """A deletion of instructions with all that came of them; `files_due` until a worker removed the files."""

    __tablename__ = "erasures"
    __table_args__ = (Index("ix_erasures_due", "id", postgresql_where=text("files_due")),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor: Mapped[str]
    counts: Mapped[JSON]
    iterations: Mapped[list[Any]]
    versions: Mapped[list[str]]
    files_due: Mapped[bool] = mapped_column(Boolean)


class AnchorRow(Base):
    """A labeled pair of an anchor set: measured on, never trained on."""

    __tablename__ = "anchors"
    __table_args__ = (UniqueConstraint("anchor_set", "item"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    anchor_set: Mapped[str]
    item: Mapped[str]
    instruction_digest: Mapped[str] = mapped_column(index=True)
    messages: Mapped[list[Any]]
    response_a: Mapped[str]
    response_b: Mapped[str]
    label: Mapped[str]


class DecisionRow(Base):
    """What the service answered. Texts are not kept: the digests say what it was about.

    `flipped`: whether the two orders named different responses, null where they did not both decide.
    `level`: the rating on its scale, from 0 to 1.
    """

    __tablename__ = "decisions"
    __table_args__ = (Index("ix_decisions_stream_at", "model_version", "kind", "mode", "at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    kind: Mapped[str]
    tenant: Mapped[str]
    mode: Mapped[str]
    strategy: Mapped[str | None]
    model_version: Mapped[str]
    prompt_hash: Mapped[str]
    instruction_digest: Mapped[str]
    verdict: Mapped[str]
    reason: Mapped[str | None]
    probability_a: Mapped[float | None] = mapped_column(Float)
    flipped: Mapped[bool | None] = mapped_column(Boolean)
    rating: Mapped[float | None] = mapped_column(Float)
    level: Mapped[float | None] = mapped_column(Float)
    votes: Mapped[JSON]
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    latency_ms: Mapped[float] = mapped_column(Float)


class PinRow(Base):
    """A trainer's hold on one version: while it lasts, that version answers the run, or nothing does."""

    __tablename__ = "pins"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    ttl_s: Mapped[int]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(index=True)


class RewardAnswerRow(Base):
    """An answer that was given under an `Idempotency-Key`, for whoever asks the same again."""

    __tablename__ = "reward_answers"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    body_sha256: Mapped[str]
    answer: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class BatchRow(Base):
    """Many judgments asked for at once: its progress, and the lease of the gateway that works on it."""

    __tablename__ = "batches"
    __table_args__ = (
        UniqueConstraint("tenant", "idempotency_key"),
        Index("ix_batches_tenant_created_at", "tenant", "created_at"),
        Index(
            "ix_batches_active",
            "lease_until",
            postgresql_where=text("status IN ('validating', 'in_progress', 'cancelling')"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    created_by: Mapped[str]
    status: Mapped[str]
    total: Mapped[int] = mapped_column(server_default=text("0"))
    completed: Mapped[int] = mapped_column(server_default=text("0"))
    failed: Mapped[int] = mapped_column(server_default=text("0"))
    epoch: Mapped[int] = mapped_column(server_default=text("0"))
    lease_until: Mapped[datetime | None]
    lease_holder: Mapped[str | None]
    idempotency_key: Mapped[str | None]
    content_sha256: Mapped[str]
    # `metadata` is taken in SQLAlchemy's classes.
    labels: Mapped[JSON] = mapped_column("metadata", server_default=text("'{}'::jsonb"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    cancelling_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class BatchLineRow(Base):
    """One line of a batch. Without a `status_code` it has no result yet; with one, `body` is gone.

    Body and answer are JSON and not JSONB: they are passed through, never searched, and JSONB refuses texts
    that a line may well hold (an escaped NUL, half a surrogate pair), for which the line alone has to fail.
    """

    __tablename__ = "batch_lines"

    batch_id: Mapped[str] = mapped_column(ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    custom_id: Mapped[str]
    url: Mapped[str]
    body: Mapped[JSON | None] = mapped_column(PLAIN_JSON)
    status_code: Mapped[int | None]
    answer: Mapped[JSON | None] = mapped_column(PLAIN_JSON)


class CampaignRow(Base):
    """Several iterations in a row. At most one is running."""

    __tablename__ = "campaigns"
    __table_args__ = (
        Index(
            "uq_campaigns_running", text("(true)"), unique=True, postgresql_where=text("status = 'running'")
        ),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    status: Mapped[str]
    times: Mapped[int]
    profile: Mapped[str]
    settings: Mapped[JSON]
    reason: Mapped[str | None]
    actor: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class ScheduleRow(Base):
    """When iterations begin by themselves. There is one row, or none."""

    __tablename__ = "schedule"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    cron: Mapped[str | None]
    every: Mapped[int | None]
    profile: Mapped[str]
    settings: Mapped[JSON]
    actor: Mapped[str]
    served_until: Mapped[datetime]
    last_instruction: Mapped[int]
    # The latest iteration when it was set, and why it begins none any more.
    after_iteration: Mapped[int] = mapped_column(server_default=text("0"))
    stopped: Mapped[str | None]


class IterationRow(Base):
    """One pass of the loop. At most one is active, which an index over a constant guarantees."""

    __tablename__ = "iterations"
    __table_args__ = (
        Index(
            "uq_iterations_active",
            text("(true)"),
            unique=True,
            postgresql_where=text("status IN ('queued', 'running', 'cancelling')"),
        ),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    status: Mapped[str]
    stage: Mapped[str | None]
    profile: Mapped[str]
    settings: Mapped[JSON]
    seed_version: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    judged_by: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    candidate: Mapped[str | None]
    counts: Mapped[JSON] = mapped_column(server_default=text("'{}'::jsonb"))
    gate: Mapped[JSON | None]
    error: Mapped[str | None]
    actor: Mapped[str]
    campaign_id: Mapped[int | None] = mapped_column(ForeignKey("campaigns.id"), index=True)
    scheduled: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class StageRow(Base):
    """One stage of an iteration: its progress, and the lease of the worker that runs it."""

    __tablename__ = "stages"

    iteration_id: Mapped[int] = mapped_column(
        ForeignKey("iterations.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str]
    epoch: Mapped[int] = mapped_column(server_default=text("0"))
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    lease_until: Mapped[datetime | None]
    enqueued_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    done: Mapped[int] = mapped_column(server_default=text("0"))
    total: Mapped[int] = mapped_column(server_default=text("0"))
    note: Mapped[str | None]
    error: Mapped[str | None]


class SelectionRow(Base):
    """An instruction that an iteration works with, in the training or the held-out share."""

    __tablename__ = "selections"

    iteration_id: Mapped[int] = mapped_column(
        ForeignKey("iterations.id", ondelete="CASCADE"), primary_key=True
    )
    instruction_id: Mapped[int] = mapped_column(
        ForeignKey("instructions.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    held_out: Mapped[bool] = mapped_column(Boolean)
    # As it was classified when it was selected; null in an iteration that does not classify.
    category: Mapped[str | None]
    complexity: Mapped[int | None]
    length: Mapped[str | None]


class ClassificationRow(Base):
    """What a model said about an instruction: asked once for each model and wording of the question."""

    __tablename__ = "classifications"

    instruction_id: Mapped[int] = mapped_column(
        ForeignKey("instructions.id", ondelete="CASCADE"), primary_key=True
    )
    model_version: Mapped[str] = mapped_column(primary_key=True)
    prompt_hash: Mapped[str] = mapped_column(primary_key=True)
    category: Mapped[str]
    complexity: Mapped[int]
    length: Mapped[str]


class DropRow(Base):
    """Why an iteration's step left something out that came of an instruction: the funnel, one by one."""

    __tablename__ = "drops"
    __table_args__ = (Index("ix_drops_iteration_id_step", "iteration_id", "step"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    iteration_id: Mapped[int] = mapped_column(ForeignKey("iterations.id", ondelete="CASCADE"))
    step: Mapped[str]
    instruction_id: Mapped[int] = mapped_column(ForeignKey("instructions.id", ondelete="CASCADE"))
    reason: Mapped[str]


class ResponseRow(Base):
    """A generated text of an iteration: the response to an instruction, or to a modified one."""

    __tablename__ = "responses"

    iteration_id: Mapped[int] = mapped_column(
        ForeignKey("iterations.id", ondelete="CASCADE"), primary_key=True
    )
    instruction_id: Mapped[int] = mapped_column(
        ForeignKey("instructions.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    kind: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str]
    prompt: Mapped[str | None]
    finished: Mapped[bool] = mapped_column(Boolean)
    model_version: Mapped[str]


class PairRow(Base):
    """A preference pair that an iteration constructed.

    `lender_id`: the other instruction whose response the rejected one is, or has parts of.
    """

    __tablename__ = "preference_pairs"
    __table_args__ = (UniqueConstraint("iteration_id", "instruction_id", "ordinal"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    iteration_id: Mapped[int] = mapped_column(ForeignKey("iterations.id", ondelete="CASCADE"))
    instruction_id: Mapped[int] = mapped_column(ForeignKey("instructions.id", ondelete="CASCADE"), index=True)
    lender_id: Mapped[int | None] = mapped_column(
        ForeignKey("instructions.id", ondelete="CASCADE"), index=True
    )
    ordinal: Mapped[int]
    held_out: Mapped[bool] = mapped_column(Boolean)
    strategy: Mapped[str]
    messages: Mapped[list[Any]]
    chosen: Mapped[str]
    rejected: Mapped[str]

    @property
    def item(self) -> str:
        """Its name among what is evaluated."""
        return f"pair-{self.instruction_id}-{self.ordinal}"

    def to_pair(self) -> PreferencePair:
        """The domain's value."""
        instruction = Instruction.from_json(self.messages)
        return PreferencePair(instruction, self.chosen, self.rejected, self.strategy, self.lender_id)


class JudgmentRow(Base):
    """One sampled judgment of a pair in one order, and whether it found the chosen response."""

    __tablename__ = "judgments"

    pair_id: Mapped[int] = mapped_column(
        ForeignKey("preference_pairs.id", ondelete="CASCADE"), primary_key=True
    )
    chosen_first: Mapped[bool] = mapped_column(Boolean, primary_key=True)
    sample: Mapped[int] = mapped_column(primary_key=True)
    verdict: Mapped[str]
    correct: Mapped[bool] = mapped_column(Boolean)
    text: Mapped[str]
    model_version: Mapped[str]


class ExampleRow(Base):
    """A training example: a reasoned judgment in one order, or a pair for the pointwise read."""

    __tablename__ = "training_examples"
    __table_args__ = (UniqueConstraint("pair_id", "kind", "chosen_first"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    iteration_id: Mapped[int] = mapped_column(ForeignKey("iterations.id", ondelete="CASCADE"), index=True)
    pair_id: Mapped[int] = mapped_column(ForeignKey("preference_pairs.id", ondelete="CASCADE"))
    kind: Mapped[str]
    chosen_first: Mapped[bool] = mapped_column(Boolean)
    judgment: Mapped[str | None]


class EvaluationRow(Base):
    """One version measured on one set of pairs with one strategy; `items` holds each outcome."""

    __tablename__ = "evaluations"
    __table_args__ = (UniqueConstraint("iteration_id", "role", "dataset", "strategy"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    iteration_id: Mapped[int] = mapped_column(ForeignKey("iterations.id", ondelete="CASCADE"))
    role: Mapped[str]
    dataset: Mapped[str]
    strategy: Mapped[str]
    metrics: Mapped[JSON]
    items: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class BenchmarkSetRow(Base):
    """The items of a benchmark, named by their digest; versions that answer the same ones can be compared."""

    __tablename__ = "benchmark_sets"

    digest: Mapped[str] = mapped_column(primary_key=True)
    benchmark: Mapped[str]
    name: Mapped[str]
    items: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class BenchmarkItemRow(Base):
    """One item, as plain JSON: its facts come from outside, and JSONB refuses some texts."""

    __tablename__ = "benchmark_items"

    set_digest: Mapped[str] = mapped_column(
        ForeignKey("benchmark_sets.digest", ondelete="CASCADE"), primary_key=True
    )
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[JSON] = mapped_column(PLAIN_JSON)


class BenchmarkRunRow(Base):
    """One version on one set of items: progress, the lease of the worker that runs it, and the figures.

    There is one for each version, set and settings, so that asking again goes on or finds what was measured.
    """

    __tablename__ = "benchmark_runs"
    __table_args__ = (
        UniqueConstraint("version", "set_digest", "settings_digest"),
        Index(
            "ix_benchmark_runs_active",
            "lease_until",
            postgresql_where=text("status IN ('queued', 'running', 'cancelling')"),
        ),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    status: Mapped[str]
    version: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    set_digest: Mapped[str] = mapped_column(ForeignKey("benchmark_sets.digest"), index=True)
    settings: Mapped[JSON]
    settings_digest: Mapped[str]
    actor: Mapped[str]
    figures: Mapped[JSON | None] = mapped_column(PLAIN_JSON)
    epoch: Mapped[int] = mapped_column(server_default=text("0"))
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    lease_until: Mapped[datetime | None]
    enqueued_at: Mapped[datetime | None]
    done: Mapped[int] = mapped_column(server_default=text("0"))
    total: Mapped[int]
    note: Mapped[str | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class BenchmarkOutcomeRow(Base):
    """What a version said about one item: written once, so a run that goes on asks only for the others."""

    __tablename__ = "benchmark_outcomes"

    run_id: Mapped[int] = mapped_column(ForeignKey("benchmark_runs.id", ondelete="CASCADE"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    judged: Mapped[JSON] = mapped_column(PLAIN_JSON)


class TrialRow(Base):
    """A candidate on live traffic, as shadow or canary. It goes on while its iteration has that status."""

    __tablename__ = "trials"

    iteration_id: Mapped[int] = mapped_column(
        ForeignKey("iterations.id", ondelete="CASCADE"), primary_key=True
    )
    mode: Mapped[str]
    version: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    champion: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    # `passed`, `refused` or `stopped`, and why; none while it goes on.
    outcome: Mapped[str | None]
    reason: Mapped[str | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class TrialDecisionRow(Base):
    """One live comparison that champion and candidate have both judged, or one of them alone."""

    __tablename__ = "trial_decisions"

    iteration_id: Mapped[int] = mapped_column(
        ForeignKey("trials.iteration_id", ondelete="CASCADE"), primary_key=True
    )
    decision_id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    answered_by: Mapped[str]
    champion_verdict: Mapped[str | None]
    candidate_verdict: Mapped[str | None]
    champion_probability_a: Mapped[float | None] = mapped_column(Float)
    candidate_probability_a: Mapped[float | None] = mapped_column(Float)
    champion_ms: Mapped[float | None] = mapped_column(Float)
    candidate_ms: Mapped[float | None] = mapped_column(Float)
    # Why the candidate gave no verdict at all.
    failure: Mapped[str | None]


class ReviewItemRow(Base):
    """A comparison that people judge; each pair of texts is there once for a tenant.

    `probability`: with which it came into the random sample; null for one that was chosen for what the judge
    made of it. `place`: uniform on [0, 1), the order in which the sample is offered. The next three say how
    the judge disagreed with itself, and `uncertainty` (0 to 1) how near its probability was to one half.
    """

    __tablename__ = "review_items"
    __table_args__ = (
        UniqueConstraint("tenant", "content_digest"),
        Index("ix_review_items_tenant_source", "tenant", "source"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    source: Mapped[str]
    name: Mapped[str | None]
    decision_id: Mapped[str | None] = mapped_column(index=True)
    content_digest: Mapped[str]
    instruction_digest: Mapped[str] = mapped_column(index=True)
    messages: Mapped[list[Any]]
    response_a: Mapped[str]
    response_b: Mapped[str]
    probability: Mapped[float | None] = mapped_column(Float)
    place: Mapped[float] = mapped_column(Float)
    orders_differ: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    votes_differ: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    versions_differ: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    uncertainty: Mapped[float] = mapped_column(Float, server_default=text("0"))
    wanted: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ReviewRow(Base):
    """One person's look at an item: a lease until there is an answer, which is about the item's own A and B.

    `seed` decides which response was shown as A; null for an answer that came with a file.
    """

    __tablename__ = "reviews"

    item_id: Mapped[str] = mapped_column(ForeignKey("review_items.id", ondelete="CASCADE"), primary_key=True)
    reviewer: Mapped[str] = mapped_column(primary_key=True)
    seed: Mapped[int | None]
    claimed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_until: Mapped[datetime | None]
    answer: Mapped[str | None]
    answered_at: Mapped[datetime | None]


class ReviewVerdictRow(Base):
    """What a model version says about an item."""

    __tablename__ = "review_verdicts"

    item_id: Mapped[str] = mapped_column(ForeignKey("review_items.id", ondelete="CASCADE"), primary_key=True)
    model_version: Mapped[str] = mapped_column(primary_key=True)
    verdict: Mapped[str]
    probability_a: Mapped[float | None] = mapped_column(Float)


class DriftWindowRow(Base):
    """The decisions of one kind, mode and version in a stretch of time, counted (`judge.drift.Counts`)."""

    __tablename__ = "drift_windows"

    model_version: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    mode: Mapped[str] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    counts: Mapped[JSON]
