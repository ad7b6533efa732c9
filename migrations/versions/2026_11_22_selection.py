"""selection."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "classifications",
        sa.Column("instruction_id", sa.BigInteger(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("prompt_hash", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("complexity", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instruction_id"],
            ["instructions.id"],
            name=op.f("fk_classifications_instruction_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "instruction_id", "model_version", "prompt_hash", name=op.f("pk_classifications")
        ),
    )
    op.create_table(
        "drops",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("iteration_id", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("instruction_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["iteration_id"], ["iterations.id"], name=op.f("fk_drops_iteration_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["instruction_id"], ["instructions.id"], name=op.f("fk_drops_instruction_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drops")),
    )
    op.create_index("ix_drops_iteration_id_step", "drops", ["iteration_id", "step"], unique=False)
    op.add_column("selections", sa.Column("category", sa.Text(), nullable=True))
    op.add_column("selections", sa.Column("complexity", sa.BigInteger(), nullable=True))
    op.add_column("selections", sa.Column("length", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("selections", "length")
    op.drop_column("selections", "complexity")
    op.drop_column("selections", "category")
    op.drop_index("ix_drops_iteration_id_step", table_name="drops")
    op.drop_table("drops")
    op.drop_table("classifications")
