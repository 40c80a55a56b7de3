"""Who sent a study, when studies were last deleted, which copies of them were made."""

import sqlalchemy as sa
from alembic import op

revision = "6"
down_revision = "5"


def upgrade() -> None:
    op.add_column("study", sa.Column("sender", sa.Text, nullable=False, server_default=""))
    op.add_column("library", sa.Column("erased", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "copy",
        sa.Column("number", sa.Integer, nullable=False, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
    )
