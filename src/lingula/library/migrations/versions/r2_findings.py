"""What reports assert, labels as rows, full-text search; on PostgreSQL, embeddings as vectors.

``library.reader`` stays empty, which has the assertions of the reports already there read at the next opening.
"""

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"


def upgrade() -> None:
    owner = sa.ForeignKey("study.study_id")
    op.add_column("library", sa.Column("reader", sa.Text, nullable=False, server_default=""))
    op.drop_column("library", "version")
    op.create_table(
        "finding",
        sa.Column("study_id", sa.Text, owner, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("finding", sa.Text, nullable=False),
        sa.Column("polarity", sa.Text, nullable=False),
        sa.Column("past", sa.Boolean, nullable=False),
        sa.Column("side", sa.Text),
        sa.Column("place", sa.Text),
        sa.Column("section", sa.Text, nullable=False),
        sa.Column("start", sa.Integer, nullable=False),
        sa.Column("stop", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("study_id", "position"),
    )
    op.create_index("finding_by_name", "finding", ["finding", "polarity", "past", "study_id"])
    op.create_table(
        "label",
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("study_id", sa.Text, sa.ForeignKey("study.study_id"), nullable=False),
        sa.PrimaryKeyConstraint("label", "study_id"),
    )
    on_postgres() if op.get_bind().dialect.name == "postgresql" else on_sqlite()


def on_sqlite() -> None:
    op.execute(
        "INSERT INTO label (label, study_id) "
        "SELECT DISTINCT value, study_id FROM study, json_each(study.labels) WHERE labels IS NOT NULL"
    )
    op.execute("CREATE VIRTUAL TABLE study_text USING fts5(study_id UNINDEXED, text, tokenize = 'porter unicode61')")
    op.execute("INSERT INTO study_text SELECT study_id, text FROM study WHERE text IS NOT NULL")
    op.execute(
        "CREATE TRIGGER study_text_filled AFTER INSERT ON study WHEN new.text IS NOT NULL "
        "BEGIN INSERT INTO study_text VALUES (new.study_id, new.text); END"
    )


def on_postgres() -> None:
    """No library on PostgreSQL is older than this revision: nothing to convert."""
    op.execute("ALTER TABLE embedding DROP COLUMN vector")
    op.execute("ALTER TABLE embedding ADD COLUMN vector vector NOT NULL")
    op.execute(
        "ALTER TABLE study ADD COLUMN words tsvector "
        "GENERATED ALWAYS AS (to_tsvector('english', coalesce(text, ''))) STORED"
    )
    op.execute("CREATE INDEX study_words ON study USING gin (words)")
