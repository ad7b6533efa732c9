"""Alembic: the only source of the schema."""
