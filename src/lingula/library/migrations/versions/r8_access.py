"""Users with roles, their tokens, and the trail of who did what."""

import sqlalchemy as sa
from alembic import op

revision = "8"
down_revision = "7"


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("name", sa.Text, nullable=False, primary_key=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("made", sa.Double, nullable=False),
    )
    op.create_table(
        "access_token",
        sa.Column("token_hash", sa.Text, nullable=False, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("made", sa.Double, nullable=False),
        sa.Column("until", sa.Double, nullable=True),
        sa.Column("revoked", sa.Double, nullable=True),
    )
    op.create_index("access_token_by_name", "access_token", ["name"])
    op.create_table(
        "audit_event",
        sa.Column("number", sa.Integer, nullable=False, primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
    )
    op.create_index("audit_event_by_time", "audit_event", ["at"])
    op.create_index("audit_event_by_subject", "audit_event", ["subject"])
