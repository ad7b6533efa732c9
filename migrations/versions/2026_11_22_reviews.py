"""reviews by people, drift of what is answered."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_JSON = postgresql.JSONB(astext_type=sa.Text())
_NOW = sa.text("now()")
_FALSE = sa.text("false")


def upgrade() -> None:
    op.create_table(
        "review_items",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("decision_id", sa.Text(), nullable=True),
        sa.Column("content_digest", sa.Text(), nullable=False),
        sa.Column("instruction_digest", sa.Text(), nullable=False),
        sa.Column("messages", _JSON, nullable=False),
        sa.Column("response_a", sa.Text(), nullable=False),
        sa.Column("response_b", sa.Text(), nullable=False),
        sa.Column("probability", sa.Float(), nullable=True),
        sa.Column("place", sa.Float(), nullable=False),
        sa.Column("orders_differ", sa.Boolean(), server_default=_FALSE, nullable=False),
        sa.Column("votes_differ", sa.Boolean(), server_default=_FALSE, nullable=False),
        sa.Column("versions_differ", sa.Boolean(), server_default=_FALSE, nullable=False),
        sa.Column("uncertainty", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("wanted", sa.BigInteger(), nullable=False),
        sa.Column("created_at", _MOMENT, server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_items")),
        sa.UniqueConstraint("tenant", "content_digest", name=op.f("uq_review_items_tenant_content_digest")),
    )
    op.create_index("ix_review_items_tenant_source", "review_items", ["tenant", "source"])
    op.create_index(op.f("ix_review_items_decision_id"), "review_items", ["decision_id"])
    op.create_index(op.f("ix_review_items_instruction_digest"), "review_items", ["instruction_digest"])
    op.create_table(
        "reviews",
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=True),
        sa.Column("claimed_at", _MOMENT, server_default=_NOW, nullable=False),
        sa.Column("lease_until", _MOMENT, nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("answered_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["item_id"], ["review_items.id"], name=op.f("fk_reviews_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("item_id", "reviewer", name=op.f("pk_reviews")),
    )
    op.create_table(
        "review_verdicts",
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("probability_a", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["item_id"], ["review_items.id"], name=op.f("fk_review_verdicts_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("item_id", "model_version", name=op.f("pk_review_verdicts")),
    )
    op.create_table(
        "drift_windows",
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT, nullable=False),
        sa.Column("counts", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("model_version", "kind", "mode", "ordinal", name=op.f("pk_drift_windows")),
    )
    op.add_column("decisions", sa.Column("flipped", sa.Boolean(), nullable=True))
    op.add_column("decisions", sa.Column("level", sa.Float(), nullable=True))
    # A version's decisions of one kind and mode are read in the order of time.
    op.drop_index(op.f("ix_decisions_model_version"), table_name="decisions")
    op.create_index("ix_decisions_stream_at", "decisions", ["model_version", "kind", "mode", "at"])


def downgrade() -> None:
    op.drop_index("ix_decisions_stream_at", table_name="decisions")
    op.create_index(op.f("ix_decisions_model_version"), "decisions", ["model_version"])
    op.drop_column("decisions", "level")
    op.drop_column("decisions", "flipped")
    op.drop_table("drift_windows")
    op.drop_table("review_verdicts")
    op.drop_table("reviews")
    op.drop_table("review_items")
