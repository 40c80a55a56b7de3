"""The tables of a library. Portable SQL: the same definitions serve SQLite and PostgreSQL."""

from __future__ import annotations

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, LargeBinary, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

VERSION = 1
ABSENT_AS_NULL = JSON(none_as_null=True)


class Base(DeclarativeBase):
    type_annotation_map = {str: Text, bytes: LargeBinary}  # noqa: RUF012 (SQLAlchemy's own idiom)


class LibraryRow(Base):
    """The one row that says what the library is for.

    ``revision`` counts committed writes. Every write updates it first and so holds the write lock from its start.
    """

    __tablename__ = "library"
    __table_args__ = (CheckConstraint("id = 1"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]
    model: Mapped[str]
    vocabulary: Mapped[str]
    labels: Mapped[list[str]] = mapped_column(JSON)
    dimension: Mapped[int]
    revision: Mapped[int]
    secret: Mapped[bytes]


class StudyRow(Base):
    __tablename__ = "study"

    study_id: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    text: Mapped[str | None]  # NULL: no report
    sections: Mapped[list[tuple[str, int, int]]] = mapped_column(JSON)  # name, start, end
    terms: Mapped[list[str] | None] = mapped_column(ABSENT_AS_NULL)
    labels: Mapped[list[str] | None] = mapped_column(ABSENT_AS_NULL)
    notices: Mapped[list[tuple[str, str]]] = mapped_column(JSON)  # code, message
    age: Mapped[int | None]
    birth_key: Mapped[str]


class RadiographRow(Base):
    __tablename__ = "radiograph"

    study_id: Mapped[str] = mapped_column(ForeignKey("study.study_id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)  # order within the study
    image_id: Mapped[str]
    view: Mapped[str]
    digest: Mapped[str]
    rows: Mapped[int]
    columns: Mapped[int]
    decoder: Mapped[str]
    attributes: Mapped[list[tuple[str, str]]] = mapped_column(JSON)  # keyword, text
    notices: Mapped[list[tuple[str, str]]] = mapped_column(JSON)
    png: Mapped[bytes]  # last, so that reading the other columns never touches it


class EmbeddingRow(Base):
    """``vector`` is (D,) little-endian float32 of unit norm; ``revision`` says with which write it came."""

    __tablename__ = "embedding"
    __table_args__ = (Index("embedding_by_revision", "mode", "revision"),)

    study_id: Mapped[str] = mapped_column(ForeignKey("study.study_id"), primary_key=True)
    mode: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int]
    vector: Mapped[bytes]


class RefusedRow(Base):
    __tablename__ = "refused"

    source: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str]
    message: Mapped[str]
