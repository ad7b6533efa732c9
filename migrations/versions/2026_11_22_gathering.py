"""gathering."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("iterations", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("versions", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("files_due", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasures")),
    )
    op.create_index(
        "ix_erasures_due", "erasures", ["id"], unique=False, postgresql_where=sa.text("files_due")
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "words", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'::text[]"), nullable=False
        ),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("messages", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "quarantined_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("signature", sa.LargeBinary(), nullable=True),
        sa.Column("bands", postgresql.ARRAY(sa.BigInteger()), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
        sa.UniqueConstraint("digest", name=op.f("uq_quarantine_digest")),
    )
    op.create_index("ix_quarantine_bands", "quarantine", ["bands"], unique=False, postgresql_using="gin")
    op.create_index(op.f("ix_quarantine_kind"), "quarantine", ["kind"], unique=False)
    op.create_index("ix_quarantine_tenant_created_at", "quarantine", ["tenant", "created_at"], unique=False)
    op.create_table(
        "tenants",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("capture", sa.Boolean(), nullable=False),
        sa.Column("daily_instructions", sa.BigInteger(), nullable=True),
        sa.Column("retention_days", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tenants")),
    )
    op.create_table(
        "protected",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("grams", sa.BigInteger(), nullable=False),
        sa.Column("anchor_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["anchor_id"], ["anchors.id"], name=op.f("fk_protected_anchor_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_protected")),
        sa.UniqueConstraint("name", "item", name=op.f("uq_protected_name_item")),
    )
    op.create_index(op.f("ix_protected_anchor_id"), "protected", ["anchor_id"], unique=False)
    op.create_table(
        "protected_grams",
        sa.Column("gram", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("protected_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["protected_id"],
            ["protected.id"],
            name=op.f("fk_protected_grams_protected_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("gram", "protected_id", name=op.f("pk_protected_grams")),
    )
    op.create_index(
        op.f("ix_protected_grams_protected_id"), "protected_grams", ["protected_id"], unique=False
    )
    op.add_column("instructions", sa.Column("signature", sa.LargeBinary(), nullable=True))
    op.add_column("instructions", sa.Column("bands", postgresql.ARRAY(sa.BigInteger()), nullable=True))
    op.add_column(
        "instructions",
        sa.Column("near_duplicates", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "instructions", sa.Column("scanned", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column(
        "instructions", sa.Column("released", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_index("ix_instructions_bands", "instructions", ["bands"], unique=False, postgresql_using="gin")
    op.create_index(
        "ix_instructions_tenant_created_at", "instructions", ["tenant", "created_at"], unique=False
    )
    op.create_index(
        "ix_instructions_unscanned",
        "instructions",
        ["id"],
        unique=False,
        postgresql_where=sa.text("NOT scanned"),
    )
    op.create_index(
        op.f("ix_preference_pairs_instruction_id"), "preference_pairs", ["instruction_id"], unique=False
    )
    op.create_index(op.f("ix_responses_instruction_id"), "responses", ["instruction_id"], unique=False)
    op.create_index(op.f("ix_selections_instruction_id"), "selections", ["instruction_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_selections_instruction_id"), table_name="selections")
    op.drop_index(op.f("ix_responses_instruction_id"), table_name="responses")
    op.drop_index(op.f("ix_preference_pairs_instruction_id"), table_name="preference_pairs")
    op.drop_index(
        "ix_instructions_unscanned", table_name="instructions", postgresql_where=sa.text("NOT scanned")
    )
    op.drop_index("ix_instructions_tenant_created_at", table_name="instructions")
    op.drop_index("ix_instructions_bands", table_name="instructions", postgresql_using="gin")
    op.drop_column("instructions", "released")
    op.drop_column("instructions", "scanned")
    op.drop_column("instructions", "near_duplicates")
    op.drop_column("instructions", "bands")
    op.drop_column("instructions", "signature")
    op.drop_index(op.f("ix_protected_grams_protected_id"), table_name="protected_grams")
    op.drop_table("protected_grams")
    op.drop_index(op.f("ix_protected_anchor_id"), table_name="protected")
    op.drop_table("protected")
    op.drop_table("tenants")
    op.drop_index("ix_quarantine_tenant_created_at", table_name="quarantine")
    op.drop_index(op.f("ix_quarantine_kind"), table_name="quarantine")
    op.drop_index("ix_quarantine_bands", table_name="quarantine", postgresql_using="gin")
    op.drop_table("quarantine")
    op.drop_index("ix_erasures_due", table_name="erasures", postgresql_where=sa.text("files_due"))
    op.drop_table("erasures")
