"""The records: library, study, radiograph, embedding, refused. As lingula made them before it had revisions."""

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None


def upgrade() -> None:
    def text(name: str, *args: object, null: bool = False) -> sa.Column[str]:
        return sa.Column(name, sa.Text, *args, nullable=null)  # type: ignore[arg-type]

    def listed(name: str, null: bool = False) -> sa.Column[object]:
        return sa.Column(name, sa.JSON, nullable=null)

    def number(name: str, null: bool = False) -> sa.Column[int]:
        return sa.Column(name, sa.Integer, nullable=null)

    op.create_table(
        "library", number("id"), number("version"), text("model"), text("vocabulary"), listed("labels"),
        number("dimension"), number("revision"), sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id"), sa.CheckConstraint("id = 1"),
    )  # fmt: skip
    op.create_table(
        "study", text("study_id"), text("digest"), text("text", null=True), listed("sections"),
        listed("terms", null=True), listed("labels", null=True), listed("notices"), number("age", null=True),
        text("birth_key"), sa.PrimaryKeyConstraint("study_id"),
    )  # fmt: skip
    op.create_table(
        "radiograph", text("study_id", sa.ForeignKey("study.study_id")), number("position"), text("image_id"),
        text("view"), text("digest"), number("rows"), number("columns"), text("decoder"), listed("attributes"),
        listed("notices"), sa.Column("png", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("study_id", "position"),
    )  # fmt: skip
    op.create_table(
        "embedding", text("study_id", sa.ForeignKey("study.study_id")), text("mode"), number("revision"),
        sa.Column("vector", sa.LargeBinary, nullable=False), sa.PrimaryKeyConstraint("study_id", "mode"),
    )  # fmt: skip
    op.create_index("embedding_by_revision", "embedding", ["mode", "revision"])
    op.create_table("refused", text("source"), text("code"), text("message"), sa.PrimaryKeyConstraint("source"))
