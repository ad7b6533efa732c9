"""gate."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trials",
        sa.Column("iteration_id", sa.BigInteger(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("champion", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["iteration_id"], ["iterations.id"], name=op.f("fk_trials_iteration_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["version"], ["model_versions.id"], name=op.f("fk_trials_version")),
        sa.ForeignKeyConstraint(["champion"], ["model_versions.id"], name=op.f("fk_trials_champion")),
        sa.PrimaryKeyConstraint("iteration_id", name=op.f("pk_trials")),
    )
    op.create_table(
        "trial_decisions",
        sa.Column("iteration_id", sa.BigInteger(), nullable=False),
        sa.Column("decision_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("answered_by", sa.Text(), nullable=False),
        sa.Column("champion_verdict", sa.Text(), nullable=True),
        sa.Column("candidate_verdict", sa.Text(), nullable=True),
        sa.Column("champion_probability_a", sa.Float(), nullable=True),
        sa.Column("candidate_probability_a", sa.Float(), nullable=True),
        sa.Column("champion_ms", sa.Float(), nullable=True),
        sa.Column("candidate_ms", sa.Float(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["iteration_id"],
            ["trials.iteration_id"],
            name=op.f("fk_trial_decisions_iteration_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("iteration_id", "decision_id", name=op.f("pk_trial_decisions")),
    )


def downgrade() -> None:
    op.drop_table("trial_decisions")
    op.drop_table("trials")
