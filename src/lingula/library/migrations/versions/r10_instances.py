"""How many objects an indexed study had in its archive, by which a change there is seen."""

import sqlalchemy as sa
from alembic import op

revision = "10"
down_revision = "9"


def upgrade() -> None:
    op.add_column("origin", sa.Column("instances", sa.Integer, nullable=True))
