"""evaluations."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "benchmark_sets",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("benchmark", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("items", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_benchmark_sets")),
    )
    op.create_table(
        "benchmark_items",
        sa.Column("set_digest", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("item", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["set_digest"],
            ["benchmark_sets.digest"],
            name=op.f("fk_benchmark_items_set_digest"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("set_digest", "ordinal", name=op.f("pk_benchmark_items")),
    )
    op.create_table(
        "benchmark_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("set_digest", sa.Text(), nullable=False),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("settings_digest", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=True),
        sa.Column("epoch", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("enqueued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["version"], ["model_versions.id"], name=op.f("fk_benchmark_runs_version")),
        sa.ForeignKeyConstraint(
            ["set_digest"], ["benchmark_sets.digest"], name=op.f("fk_benchmark_runs_set_digest")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_benchmark_runs")),
        sa.UniqueConstraint(
            "version",
            "set_digest",
            "settings_digest",
            name=op.f("uq_benchmark_runs_version_set_digest_settings_digest"),
        ),
    )
    op.create_index("ix_benchmark_runs_set_digest", "benchmark_runs", ["set_digest"], unique=False)
    op.create_index(
        "ix_benchmark_runs_active",
        "benchmark_runs",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("status IN ('queued', 'running', 'cancelling')"),
    )
    op.create_table(
        "benchmark_outcomes",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("judged", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["benchmark_runs.id"], name=op.f("fk_benchmark_outcomes_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "ordinal", name=op.f("pk_benchmark_outcomes")),
    )


def downgrade() -> None:
    op.drop_table("benchmark_outcomes")
    op.drop_index(
        "ix_benchmark_runs_active",
        table_name="benchmark_runs",
        postgresql_where=sa.text("status IN ('queued', 'running', 'cancelling')"),
    )
    op.drop_index("ix_benchmark_runs_set_digest", table_name="benchmark_runs")
    op.drop_table("benchmark_runs")
    op.drop_table("benchmark_items")
    op.drop_table("benchmark_sets")
