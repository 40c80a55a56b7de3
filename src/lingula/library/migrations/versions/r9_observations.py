"""What nodes saw of each sender's films, by which drift is found."""

import sqlalchemy as sa
from alembic import op

revision = "9"
down_revision = "8"


def upgrade() -> None:
    op.create_table(
        "film_observation",
        sa.Column("number", sa.Integer, nullable=False, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("node", "sender")),
        sa.Column("at", sa.Double, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("kind", "code")),
        *(sa.Column(name, sa.Boolean, nullable=False) for name in ("view_fault", "polarity_fault", "unfamiliar")),
        sa.Column("flags", sa.Integer, nullable=True),
        *(
            sa.Column(name, sa.Double, nullable=True)
            for name in ("findings", "familiarity", "brightness", "contrast", "noise", "frame")
        ),
    )
    op.create_index("film_observation_by_sender", "film_observation", ["sender", "number"])
    op.create_table(
        "drift_baseline",
        sa.Column("sender", sa.Text, nullable=False, primary_key=True),
        sa.Column("since", sa.Double, nullable=False),
    )
