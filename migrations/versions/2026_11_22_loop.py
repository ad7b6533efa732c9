"""whom a pair borrowed from, instructions to be quarantined later, schedules that stop."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Pairs of old: a rejected response that was written for another instruction names it. Sentences and words of
# others in spliced and substituted ones cannot be traced any more.
_LENDERS = """
UPDATE preference_pairs AS pair
SET lender_id = response.instruction_id
FROM responses AS response
WHERE response.iteration_id = pair.iteration_id
  AND response.instruction_id <> pair.instruction_id
  AND response.text = pair.rejected
"""


def upgrade() -> None:
    op.add_column("preference_pairs", sa.Column("lender_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(
        op.f("fk_preference_pairs_lender_id"),
        "preference_pairs",
        "instructions",
        ["lender_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_index(op.f("ix_preference_pairs_lender_id"), "preference_pairs", ["lender_id"])
    op.execute(_LENDERS)
    op.add_column("instructions", sa.Column("suspected", postgresql.JSONB(), nullable=True))
    op.create_index(
        "ix_instructions_suspected",
        "instructions",
        ["id"],
        postgresql_where=sa.text("suspected IS NOT NULL"),
    )
    op.add_column(
        "iterations", sa.Column("scheduled", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column(
        "schedule",
        sa.Column("after_iteration", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column("schedule", sa.Column("stopped", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("schedule", "stopped")
    op.drop_column("schedule", "after_iteration")
    op.drop_column("iterations", "scheduled")
    op.drop_index(
        "ix_instructions_suspected",
        table_name="instructions",
        postgresql_where=sa.text("suspected IS NOT NULL"),
    )
    op.drop_column("instructions", "suspected")
    op.drop_index(op.f("ix_preference_pairs_lender_id"), table_name="preference_pairs")
    op.drop_constraint(op.f("fk_preference_pairs_lender_id"), "preference_pairs", type_="foreignkey")
    op.drop_column("preference_pairs", "lender_id")
