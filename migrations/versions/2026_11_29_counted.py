"""since when a stage's progress is counted: its pace leaves out what it took to begin."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("stages", sa.Column("counted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "stages", sa.Column("counted_from", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )


def downgrade() -> None:
    op.drop_column("stages", "counted_from")
    op.drop_column("stages", "counted_at")
