"""What a DICOM node received and has to deliver, with leases on both; from which archive a study was indexed."""

import sqlalchemy as sa
from alembic import op

revision = "7"
down_revision = "6"


def upgrade() -> None:
    op.create_table(
        "inbox",
        sa.Column("film", sa.Text, nullable=False, primary_key=True),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("study", sa.Text, nullable=False),
        sa.Column("received", sa.Double, nullable=False),
        *_work(),
    )
    op.create_index("inbox_by_study", "inbox", ["node", "state", "study"])
    op.create_index("inbox_by_digest", "inbox", ["digest"])
    op.create_table(
        "outbox",
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("study", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("made", sa.Double, nullable=False),
        sa.Column("stored", sa.Double, nullable=True),
        *_work(),
        sa.PrimaryKeyConstraint("instance", "target"),
    )
    op.create_index("outbox_by_state", "outbox", ["node", "state", "target"])
    op.create_table(
        "origin",
        sa.Column("study_id", sa.Text, nullable=False, primary_key=True),
        sa.Column("archive", sa.Text, nullable=False),
    )
    op.create_index("origin_by_archive", "origin", ["archive"])


def _work() -> list[sa.Column[object]]:
    return [
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due", sa.Double, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("lease", sa.Double, nullable=False),
    ]
