"""pins of trainers, and reward answers that may be asked for again."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pins",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("ttl_s", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["version"], ["model_versions.id"], name=op.f("fk_pins_version")),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_pins")),
    )
    op.create_index(op.f("ix_pins_expires_at"), "pins", ["expires_at"], unique=False)
    op.create_table(
        "reward_answers",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key", name=op.f("pk_reward_answers")),
    )
    op.create_index(op.f("ix_reward_answers_created_at"), "reward_answers", ["created_at"], unique=False)


def downgrade() -> None:
    op.drop_table("reward_answers")
    op.drop_table("pins")
