"""Between studies and the rows that hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from sqlalchemy import Row

from lingula.errors import ModelError, Notice
from lingula.labels.assertion_rules import rules_version
from lingula.labels.assertions import Assertion, read_assertions
from lingula.library import preview
from lingula.library.identity import patient_key
from lingula.library.record import (
    OLDEST,
    Entry,
    LibraryDescription,
    ShownImage,
    StoredRadiograph,
    StudyRecord,
    Summary,
    age_in_years,
    birth_key,
    content_digest,
    image_digest,
    unit,
)
from lingula.library.schema import vector_checksum
from lingula.study import MODES, Mode, Radiograph, Report, Section

Values = dict[str, Any]  # one row to insert, by column


@dataclass(frozen=True, slots=True)
class StudyRows:
    """The rows of one study."""

    study: Values
    radiographs: list[Values]
    embeddings: list[Values]
    findings: list[Values]
    labels: list[Values]


def from_entry(entry: Entry, digest: str, about: LibraryDescription, secret: bytes) -> StudyRows:
    """Draw the previews, check the vectors, and lay the study out in rows.

    Raises:
        ModelError: ``model_mismatch`` for an embedding or a label that does not belong in this library.
    """
    study = entry.study
    if unknown := [label for label in entry.labels or () if label not in about.labels]:
        raise ModelError("model_mismatch", f"study {study.study_id} has labels {unknown}, unknown to this library.")
    if unknown := [mode for mode in entry.embeddings if mode not in MODES]:
        raise ModelError("model_mismatch", f"study {study.study_id} has embeddings {unknown}, not among {MODES}.")
    dates = next(((image.birth_date, image.study_date) for image in study.radiographs if image.birth_date), ("", ""))
    row = {
        "study_id": study.study_id,
        "digest": digest,
        "text": study.report.text if study.report else None,
        "sections": _sections(study.report) if study.report else [],
        "terms": None if study.terms is None else list(study.terms),
        "labels": None if entry.labels is None else list(entry.labels),
        "notices": _plain(study.notices),
        "age": age_in_years(*dates) if entry.age is None else min(entry.age, OLDEST),
        "birth_key": patient_key(secret, entry.patient) or birth_key(secret, dates[0]),
        "sender": entry.sender,
    }
    images = [_from_radiograph(study.study_id, at, image) for at, image in enumerate(study.radiographs)]
    embeddings = [_from_vector(study.study_id, mode, vector, about) for mode, vector in entry.embeddings.items()]
    return again(row, images, embeddings)


def masked(study: Values, radiographs: Sequence[Values]) -> Values:
    """The row of a study with names, numbers and dates masked in its report, as every import of files does: an older
    library may hold them."""
    from lingula.labels.identifiers import BY_FORM  # many patterns, which searching does not need

    report = to_report(study["text"], study["sections"])
    clean, count = BY_FORM.clean_report(report) if report else (None, 0)
    if clean is None or not count:
        return study
    films = sorted(radiographs, key=lambda each: each["position"])
    terms = None if study["terms"] is None else tuple(study["terms"])
    digest = content_digest(
        study["study_id"], clean, terms, tuple((each["image_id"], each["digest"]) for each in films)
    )
    return {**study, "text": clean.text, "sections": _sections(clean), "digest": digest}


def _sections(report: Report) -> list[list[Any]]:
    return [[part.name, part.start, part.end] for part in report.sections]


def with_films_of(study: StudyRows, stored: Row[Any], films: Sequence[Row[Any]]) -> StudyRows:
    """The rows of a study that takes the place of a stored one: films that were stored stay as they are, as does who it
    is of, how old and who sent it, where that is known."""
    known = {film.digest: dict(film._mapping) for film in films}
    radiographs = [
        {**known[row["digest"]], "position": row["position"]} if row["digest"] in known else row
        for row in study.radiographs
    ]
    kept = {"birth_key": stored.birth_key or study.study["birth_key"], "sender": stored.sender or study.study["sender"],
            "age": study.study["age"] if stored.age is None else stored.age}  # fmt: skip
    return replace(study, study={**study.study, **kept}, radiographs=radiographs)


def _from_vector(study_id: str, mode: Mode, vector: npt.NDArray[np.floating[Any]], about: LibraryDescription) -> Values:
    stored = unit(vector, about.dimension, f"{study_id} ({mode})").astype("<f4").tobytes()
    return {"study_id": study_id, "mode": mode, "vector": stored, "checksum": vector_checksum(study_id, mode, stored)}


def again(study: Values, radiographs: list[Values], embeddings: list[Values]) -> StudyRows:
    """The same rows with what is derived from them."""
    study_id, report = study["study_id"], to_report(study["text"], study["sections"])
    labels = [{"label": label, "study_id": study_id} for label in dict.fromkeys(study["labels"] or ())]
    return StudyRows(study, radiographs, embeddings, findings_of(study_id, report), labels)


def reencoded(
    stored: StudyRows,
    vectors: Mapping[Mode, npt.NDArray[np.floating[Any]]],
    labels: tuple[str, ...] | None,
    about: LibraryDescription,
) -> StudyRows:
    """The same study with the vectors and labels of another model.

    Raises:
        ModelError: ``model_mismatch`` for a vector that does not belong in this library.
    """
    study = {**stored.study, "labels": None if labels is None else list(labels)}
    embeddings = [_from_vector(study["study_id"], mode, vector, about) for mode, vector in vectors.items()]
    return again(study, stored.radiographs, embeddings)


def findings_of(study_id: str, report: Report | None) -> list[Values]:
    """One row for each assertion of a report, in the order of its text."""
    found = read_assertions(report) if report else ()
    return [
        {"study_id": study_id, "position": position, "finding": one.finding, "polarity": one.polarity,
         "past": one.past, "side": one.side, "place": one.place, "section": one.section,
         "start": one.start, "stop": one.end}
        for position, one in enumerate(found)
    ]  # fmt: skip


def to_assertion(row: Row[Any]) -> Assertion:
    return Assertion(
        row.finding, row.polarity, row.start, row.stop, row.section, side=row.side, place=row.place, past=row.past
    )


def reader_version() -> str:
    """Names the rules that read assertions; other rules read another text into other assertions."""
    return f"rules {rules_version()}"


def _from_radiograph(study_id: str, position: int, image: Radiograph) -> Values:
    return {
        "study_id": study_id,
        "position": position,
        "image_id": image.image_id,
        "view": image.view,
        "digest": image_digest(image),
        "rows": image.pixels.shape[0],
        "columns": image.pixels.shape[1],
        "decoder": image.decoder,
        "attributes": [list(pair) for pair in image.attributes],
        "notices": _plain(image.notices),
        "png": preview.encode(image.pixels),
    }


def to_record(study: Row[Any], radiographs: Sequence[Row[Any]], modes: Sequence[str]) -> StudyRecord:
    """The study as it was stored."""
    return StudyRecord(
        study_id=study.study_id,
        digest=study.digest,
        report=to_report(study.text, study.sections),
        terms=None if study.terms is None else tuple(study.terms),
        labels=None if study.labels is None else tuple(study.labels),
        notices=_notices(study.notices),
        age=study.age,
        birth_key=study.birth_key,
        modes=tuple(mode for mode in MODES if mode in modes),
        radiographs=tuple(_to_radiograph(row) for row in radiographs),
    )


def _to_radiograph(row: Row[Any]) -> StoredRadiograph:
    attributes = tuple((str(keyword), str(text)) for keyword, text in row.attributes)
    return StoredRadiograph(
        row.image_id, row.view, row.digest, row.rows, row.columns, row.decoder, attributes,
        _notices(row.notices), row.png,
    )  # fmt: skip


def to_summary(study: Row[Any], images: Sequence[Row[Any]]) -> Summary:
    shown = tuple(ShownImage(image.image_id, image.view, image.digest) for image in images)
    report, labels = to_report(study.text, study.sections), tuple(study.labels or ())
    return Summary(study.study_id, report, labels, study.age, study.birth_key, shown, study.labels is not None)


def to_report(text: str | None, sections: Sequence[Sequence[Any]]) -> Report | None:
    return None if text is None else Report(text, tuple(Section(cast(Any, name), *span) for name, *span in sections))


def _plain(notices: Sequence[Notice]) -> list[list[str]]:
    return [[notice.code, notice.message] for notice in notices]


def _notices(plain: Sequence[Sequence[str]]) -> tuple[Notice, ...]:
    return tuple(Notice(code, message) for code, message in plain)
