"""Films are found by the digest of their file."""

from alembic import op

revision = "3"
down_revision = "2"


def upgrade() -> None:
    op.create_index("radiograph_by_digest", "radiograph", ["digest"])
