"""The tables of a library, for SQLite and PostgreSQL alike. ``migrations`` makes them; these read and write them.

Beside them stands the full-text index, which the database keeps by itself: the FTS5 table ``study_text`` in SQLite, the
column ``study.words`` in PostgreSQL.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import (
    JSON,
    CheckConstraint,
    ColumnElement,
    Dialect,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    TypeDecorator,
)  # fmt: skip
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine, UserDefinedType

ABSENT_AS_NULL = JSON(none_as_null=True)


def vector_text(vector: npt.NDArray[np.float32]) -> str:
    """As pgvector reads it; every float32 comes back exactly."""
    return "[" + ",".join(map(repr, vector.tolist())) + "]"


def vector_checksum(study_id: str, mode: str, vector: bytes) -> str:
    """16 hex digits over an embedding (little-endian float32) and whose it is: one in a wrong row is noticed."""
    digest = hashlib.blake2b(f"{study_id}\0{mode}\0".encode(), digest_size=8)
    digest.update(vector)
    return digest.hexdigest()


class _PgVector(UserDefinedType[Any]):
    cache_ok = True

    def get_col_spec(self, **options: Any) -> str:
        return "vector"


class _Sent(FunctionElement[bytes]):
    """A vector as bytes."""

    inherit_cache = True


@compiles(_Sent)
def _as_it_is(element: _Sent, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(_Sent, "postgresql")
def _sent(element: _Sent, compiler: SQLCompiler, **options: Any) -> str:
    return f"vector_send({compiler.process(element.clauses, **options)})"


class UnitVector(TypeDecorator[bytes]):
    """(D,) float32 as little-endian bytes: kept as such in SQLite, as pgvector's ``vector`` in PostgreSQL."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(_PgVector() if dialect.name == "postgresql" else LargeBinary())

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> bytes | str | None:
        if value is None or dialect.name != "postgresql":
            return value
        return vector_text(np.frombuffer(value, "<f4"))

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        sent = _Sent(column)
        sent.type = self  # so that the result is read by process_result_value
        return sent

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> bytes | None:
        if value is None or dialect.name != "postgresql":
            return value
        return np.frombuffer(value, ">f4", offset=4).astype("<f4").tobytes()  # vector_send: 2 x int16, then floats


class Base(DeclarativeBase):
    type_annotation_map = {str: Text, bytes: LargeBinary}  # noqa: RUF012 (SQLAlchemy's own idiom)


class LibraryRow(Base):
    """The one row that says what the library is for.

    ``revision`` counts committed writes. Every write updates it first and so holds the write lock from its start.
    ``reader`` is the digest of what read the reports' assertions; empty while they have not been read. ``erased`` is
    the revision of the last deletion: what was read before it may hold studies that are gone.
    """

    __tablename__ = "library"
    __table_args__ = (CheckConstraint("id = 1"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str]
    vocabulary: Mapped[str]
    labels: Mapped[list[str]] = mapped_column(JSON)
    dimension: Mapped[int]
    revision: Mapped[int]
    secret: Mapped[bytes]
    reader: Mapped[str] = mapped_column(server_default="")
    erased: Mapped[int] = mapped_column(server_default="0")


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
    sender: Mapped[str] = mapped_column(server_default="")  # who sent it, in the words of whoever set that up


class RadiographRow(Base):
    __tablename__ = "radiograph"
    __table_args__ = (Index("radiograph_by_digest", "digest"),)

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


class FindingRow(Base):
    """One ``Assertion`` of a report: its words are ``text[start:stop]``. Derived data: ``reindex`` reads it anew."""

    __tablename__ = "finding"
    __table_args__ = (Index("finding_by_name", "finding", "polarity", "past", "study_id"),)

    study_id: Mapped[str] = mapped_column(ForeignKey("study.study_id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)  # order in the report
    finding: Mapped[str]
    polarity: Mapped[str]
    past: Mapped[bool]
    side: Mapped[str | None]
    place: Mapped[str | None]
    section: Mapped[str]
    start: Mapped[int]
    stop: Mapped[int]


class LabelRow(Base):
    """``study.labels`` again, a row a label, to be searched by."""

    __tablename__ = "label"

    label: Mapped[str] = mapped_column(primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.study_id"), primary_key=True)


class EmbeddingRow(Base):
    """``vector`` has unit norm; ``revision`` says with which write it came, ``checksum`` what it was then."""

    __tablename__ = "embedding"
    __table_args__ = (Index("embedding_by_revision", "mode", "revision"),)

    study_id: Mapped[str] = mapped_column(ForeignKey("study.study_id"), primary_key=True)
    mode: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int]
    vector: Mapped[bytes] = mapped_column(UnitVector)
    checksum: Mapped[str] = mapped_column(server_default="")


class RefusedRow(Base):
    __tablename__ = "refused"

    source: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str]
    message: Mapped[str]


class TeachingSetRow(Base):
    """A set of studies to teach with; ``version`` counts its changes, ``body`` is as ``teaching.sets`` writes it."""

    __tablename__ = "teaching_set"

    set_id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    title: Mapped[str]
    version: Mapped[int]
    body: Mapped[dict[str, Any]] = mapped_column(JSON)


class ClassLinkRow(Base):
    """A way into one task of one set for a class: ``link_id`` is the SHA-256 of its token, ``until`` in seconds since
    1970."""

    __tablename__ = "class_link"

    link_id: Mapped[str] = mapped_column(primary_key=True)
    set_id: Mapped[str]
    task: Mapped[str]
    until: Mapped[float]


class TeachingAnswerRow(Base):
    """An answer given once; ``link_id`` and ``set_id`` are empty where it was given outside of a class or a set."""

    __tablename__ = "teaching_answer"
    __table_args__ = (Index("teaching_answer_by_set", "set_id", "student"),)

    answer_id: Mapped[str] = mapped_column(primary_key=True)
    set_id: Mapped[str]
    link_id: Mapped[str]
    student: Mapped[str]
    task: Mapped[str]
    study_id: Mapped[str]
    at: Mapped[float]
    right: Mapped[bool]
    body: Mapped[dict[str, Any]] = mapped_column(JSON)


class ReviewRow(Base):
    """When a study is due to a student again, and how that was reckoned."""

    __tablename__ = "review"

    student: Mapped[str] = mapped_column(primary_key=True)
    study_id: Mapped[str] = mapped_column(primary_key=True)
    due: Mapped[float]
    body: Mapped[dict[str, Any]] = mapped_column(JSON)


class CopyRow(Base):
    """A backup or an export: where studies are that were deleted here since. ``at`` is in UTC, as ISO 8601 has it."""

    __tablename__ = "copy"

    number: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    place: Mapped[str]
    at: Mapped[str]


class InboxRow(Base):
    """One film that a node received: ``study`` is a keyed name of its study, ``code`` why it was refused.

    ``owner`` works on it until ``lease`` (seconds since 1970, as all times here); it is not tried before ``due``.
    """

    __tablename__ = "inbox"
    __table_args__ = (Index("inbox_by_study", "node", "state", "study"), Index("inbox_by_digest", "digest"))

    film: Mapped[str] = mapped_column(primary_key=True)  # its file in the node's spool
    node: Mapped[str]
    sender: Mapped[str]
    digest: Mapped[str]
    study: Mapped[str]
    received: Mapped[float] = mapped_column(Double)
    state: Mapped[str]  # waiting, answered, refused, copy
    code: Mapped[str]
    attempts: Mapped[int]
    due: Mapped[float] = mapped_column(Double)
    owner: Mapped[str]
    lease: Mapped[float] = mapped_column(Double)


class OutboxRow(Base):
    """One object that is to be stored at one target; the rest as in ``InboxRow``."""

    __tablename__ = "outbox"
    __table_args__ = (Index("outbox_by_state", "node", "state", "target"),)

    instance: Mapped[str] = mapped_column(primary_key=True)  # SOP Instance UID, made by us
    target: Mapped[str] = mapped_column(primary_key=True)
    node: Mapped[str]
    study: Mapped[str]
    kind: Mapped[str]
    made: Mapped[float] = mapped_column(Double)
    stored: Mapped[float | None] = mapped_column(Double)  # when it was read back
    state: Mapped[str]  # waiting, stored
    code: Mapped[str]
    attempts: Mapped[int]
    due: Mapped[float] = mapped_column(Double)
    owner: Mapped[str]
    lease: Mapped[float] = mapped_column(Double)


class OriginRow(Base):
    """From which archive a study was indexed: what is deleted there is deleted here. ``instances``: how many objects
    the study had there when it was read; None where nobody counted."""

    __tablename__ = "origin"
    __table_args__ = (Index("origin_by_archive", "archive"),)

    study_id: Mapped[str] = mapped_column(primary_key=True)
    archive: Mapped[str]
    instances: Mapped[int | None] = mapped_column(default=None)


class AccountRow(Base):
    """A user of the server; ``role`` is read, teach or administer."""

    __tablename__ = "account"

    name: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    made: Mapped[float] = mapped_column(Double)


class AccessTokenRow(Base):
    """A token of a user by its SHA-256; times in seconds since 1970, ``until`` and ``revoked`` NULL for never."""

    __tablename__ = "access_token"
    __table_args__ = (Index("access_token_by_name", "name"),)

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    made: Mapped[float] = mapped_column(Double)
    until: Mapped[float | None] = mapped_column(Double)
    revoked: Mapped[float | None] = mapped_column(Double)


class AuditEventRow(Base):
    """Who did what and when; ``subject`` is a keyed name of a study or empty, ``kind`` a method with a route."""

    __tablename__ = "audit_event"
    __table_args__ = (Index("audit_event_by_time", "at"), Index("audit_event_by_subject", "subject"))

    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[float] = mapped_column(Double)
    actor: Mapped[str]
    kind: Mapped[str]
    subject: Mapped[str]
    status: Mapped[int]
    request: Mapped[str]


class FilmObservationRow(Base):
    """What a node saw of one film of a sender: counts and figures, nothing of whose it was."""

    __tablename__ = "film_observation"
    __table_args__ = (Index("film_observation_by_sender", "sender", "number"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    node: Mapped[str]
    sender: Mapped[str]
    at: Mapped[float] = mapped_column(Double)
    kind: Mapped[str]
    code: Mapped[str]
    view_fault: Mapped[bool]
    polarity_fault: Mapped[bool]
    unfamiliar: Mapped[bool]
    flags: Mapped[int | None]
    findings: Mapped[float | None] = mapped_column(Double)
    familiarity: Mapped[float | None] = mapped_column(Double)
    brightness: Mapped[float | None] = mapped_column(Double)
    contrast: Mapped[float | None] = mapped_column(Double)
    noise: Mapped[float | None] = mapped_column(Double)
    frame: Mapped[float | None] = mapped_column(Double)


class DriftBaselineRow(Base):
    """Since when a sender's films are taken as usual."""

    __tablename__ = "drift_baseline"

    sender: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[float] = mapped_column(Double)
