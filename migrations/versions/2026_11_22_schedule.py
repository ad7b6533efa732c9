"""campaigns and the schedule."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
    )
    op.create_index(
        "uq_campaigns_running",
        "campaigns",
        [sa.literal_column("(true)")],
        unique=True,
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_table(
        "schedule",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cron", sa.Text(), nullable=True),
        sa.Column("every", sa.BigInteger(), nullable=True),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("served_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_instruction", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule")),
    )
    op.add_column("iterations", sa.Column("campaign_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(
        op.f("fk_iterations_campaign_id"), "iterations", "campaigns", ["campaign_id"], ["id"]
    )
    op.create_index(op.f("ix_iterations_campaign_id"), "iterations", ["campaign_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_iterations_campaign_id"), table_name="iterations")
    op.drop_constraint(op.f("fk_iterations_campaign_id"), "iterations", type_="foreignkey")
    op.drop_column("iterations", "campaign_id")
    op.drop_table("schedule")
    op.drop_index(
        "uq_campaigns_running", table_name="campaigns", postgresql_where=sa.text("status = 'running'")
    )
    op.drop_table("campaigns")
