"""the response that was logged with an instruction."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = ("instructions", "quarantine")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("response", sa.Text(), nullable=True))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "response")
