"""Sets of studies to teach with, links for classes, answers given, and when whom a study is due to again."""

import sqlalchemy as sa
from alembic import op

revision = "5"
down_revision = "4"


def upgrade() -> None:
    op.create_table(
        "teaching_set",
        sa.Column("set_id", sa.Text, nullable=False, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
    )
    op.create_table(
        "class_link",
        sa.Column("link_id", sa.Text, nullable=False, primary_key=True),
        sa.Column("set_id", sa.Text, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
    )
    op.create_table(
        "teaching_answer",
        sa.Column("answer_id", sa.Text, nullable=False, primary_key=True),
        sa.Column("set_id", sa.Text, nullable=False),
        sa.Column("link_id", sa.Text, nullable=False),
        sa.Column("student", sa.Text, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("study_id", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("right", sa.Boolean, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
    )
    op.create_index("teaching_answer_by_set", "teaching_answer", ["set_id", "student"])
    op.create_table(
        "review",
        sa.Column("student", sa.Text, nullable=False),
        sa.Column("study_id", sa.Text, nullable=False),
        sa.Column("due", sa.Double, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("student", "study_id"),
    )
