"""Each embedding carries a checksum. Those of vectors that are there already are taken as they are now."""

import sqlalchemy as sa
from alembic import op

from lingula.library.schema import EmbeddingRow, vector_checksum

revision = "4"
down_revision = "3"
MANY = 1000  # rows in one statement


def upgrade() -> None:
    op.add_column("embedding", sa.Column("checksum", sa.Text, nullable=False, server_default=""))
    connection, row = op.get_bind(), EmbeddingRow
    owner = sa.and_(row.study_id == sa.bindparam("study"), row.mode == sa.bindparam("of"))
    keys = connection.execute(sa.select(row.study_id, row.mode)).all()
    for start in range(0, len(keys), MANY):
        some = sa.tuple_(row.study_id, row.mode).in_([tuple(key) for key in keys[start : start + MANY]])
        found = connection.execute(sa.select(row.study_id, row.mode, row.vector).where(some)).all()
        values = [{"study": one.study_id, "of": one.mode, "sum": vector_checksum(*one)} for one in found]
        connection.execute(sa.update(row).where(owner).values(checksum=sa.bindparam("sum")), values)
