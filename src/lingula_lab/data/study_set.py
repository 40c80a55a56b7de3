"""A study set: what training reads. Films are prepared once through the one pixel path and kept as a memory map."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError
from lingula.labels.laterality import laterality
from lingula.labels.terms import Term
from lingula.labels.vocabulary import Vocabulary
from lingula.reading.preprocess import Preprocessing, to_input
from lingula.study import Radiograph, Report, Section, Study, View
from lingula_lab.data.make_split import normalise
from lingula_lab.data.provenance import Provenance, named, recognised


@dataclass(frozen=True, slots=True, eq=False)
class StudySet:
    """Studies ready for training.

    Attributes:
        ids: B study ids. reports: B reports or None. labels: (B, L) float32 in {0, 1, NaN}.
        terms: B tuples of MeSH terms as coded, or None where nobody coded the study.
        sides: (B, L) int8, 1 where all terms that a label rests on name the patient's left, -1 the right, else 0.
        films: (N, S, S) uint8 display values (0 black, 255 white), letterboxed.
        owner: (N,) row of the study each film belongs to. views: N views.
        display: how the films were prepared, ``Preprocessing.display``; None in a set that does not say.
        provenance: the collection they are of.
    """

    ids: tuple[str, ...]
    reports: tuple[Report | None, ...]
    labels: npt.NDArray[np.float32]
    terms: tuple[tuple[str, ...] | None, ...]
    sides: npt.NDArray[np.int8]
    films: npt.NDArray[np.uint8]
    owner: npt.NDArray[np.int64]
    views: tuple[View, ...]
    display: tuple[object, ...] | None = None
    provenance: Provenance = field(default_factory=Provenance)

    def require(self, preprocessing: Preprocessing, preset: str) -> None:
        """Raise InputError ``bad_request`` unless the films are what a model with this preprocessing reads.

        Args:
            preset: name of that model's preset, for the remedy.
        """
        hint, side = f"Prepare it with --preset {preset}.", self.films.shape[-1]
        if side != preprocessing.size:
            message = f"The study set's films are {side} px, {preset} reads {preprocessing.size}."
            raise InputError("bad_request", message, hint)
        if self.display not in (None, preprocessing.display):
            raise InputError("bad_request", f"The study set's films were not prepared as {preset} reads them.", hint)

    def rows(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Rows of these studies, in the order asked; those the set lacks are left out."""
        place = {study_id: row for row, study_id in enumerate(self.ids)}
        return np.array([place[study_id] for study_id in ids if study_id in place], np.int64)

    def films_of(self, row: int) -> npt.NDArray[np.int64]:
        return np.flatnonzero(self.owner == row)

    def text_keys(self) -> npt.NDArray[np.int64]:
        """One number per distinct normalised findings + impression; studies without text have numbers of their own."""
        numbers: dict[str, int] = {}
        texts = [normalise(f"{r.section('findings')} {r.section('impression')}") if r else "" for r in self.reports]
        return np.array([numbers.setdefault(text or f"#{row}", len(numbers)) for row, text in enumerate(texts)])

    @classmethod
    def build(
        cls,
        studies: Iterable[Study],
        folder: Path,
        vocabulary: Vocabulary,
        preprocessing: Preprocessing,
        progress: Callable[[int], None] = lambda done: None,
        *,
        provenance: Provenance | None = None,
    ) -> StudySet:
        """Prepare studies once and keep them in ``folder``.

        Args:
            provenance: the collection they are of; by default the one whose identifiers they have.
        """
        with StudySetWriter(folder, vocabulary, preprocessing) as writer:
            for done, study in enumerate(studies, 1):
                writer.add(study, coded_labels(study.terms, vocabulary))
                progress(done)
            return writer.finish(provenance)

    @classmethod
    def load(cls, folder: Path) -> StudySet:
        """The set that ``build`` made.

        Raises:
            InputError: ``not_found`` where there is none; ``bad_request`` where it is empty or damaged.
        """
        hint = "Make one with lingula prepare."
        try:
            made = cls._read(folder)
        except OSError as error:
            raise InputError("not_found", f"there is no study set at {folder}.", hint) from error
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            message = f"{folder} is no whole study set ({type(error).__name__})."
            raise InputError("bad_request", message, hint) from error
        if not made.ids:
            raise InputError("bad_request", f"the study set at {folder} has no studies.", hint)
        return made

    @classmethod
    def _read(cls, folder: Path) -> StudySet:
        body = json.loads((folder / "studies.json").read_text())
        rows, size = body["studies"], body["size"]
        views = tuple(view for row in rows for view in row["views"])
        return cls(
            ids=tuple(row["id"] for row in rows),
            reports=tuple(
                Report(row["text"], tuple(Section(*part) for part in row["sections"]))
                if row["text"] is not None
                else None
                for row in rows
            ),
            labels=np.array([[np.nan if v is None else v for v in row["labels"]] for row in rows], np.float32),
            terms=tuple(None if row["terms"] is None else tuple(row["terms"]) for row in rows),
            sides=np.array([row["sides"] for row in rows], np.int8),
            films=_films(folder / "films.u8", (len(views), size, size)),
            owner=np.repeat(np.arange(len(rows)), [len(row["views"]) for row in rows]),
            views=views,
            display=tuple(body["display"]) if "display" in body else None,
            provenance=named(**body["collection"]) if "collection" in body else recognised(row["id"] for row in rows),
        )


def coded_labels(terms: Sequence[str] | None, vocabulary: Vocabulary) -> tuple[str, ...] | None:
    """Codes of the labels that MeSH terms name; None where nobody coded the study."""
    return None if np.isnan(vocabulary.encode(terms)).any() else vocabulary.present(terms)


class StudySetWriter:
    """Writes a study set, study by study; use in a ``with`` statement."""

    def __init__(self, folder: Path, vocabulary: Vocabulary, preprocessing: Preprocessing) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._vocabulary, self._preprocessing = folder, vocabulary, preprocessing
        self._rows: list[dict[str, Any]] = []
        self._films = (folder / "films.u8").open("wb")

    def __enter__(self) -> StudySetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._films.close()

    def add(self, study: Study, codes: tuple[str, ...] | None) -> None:
        """Prepare a study's films and keep it; ``codes`` of the labels present, None where nobody coded it."""
        preprocessing, report = self._preprocessing, study.report
        for image in study.radiographs:
            self._films.write(kept_display(image, preprocessing).tobytes())
        labels = None if codes is None else [int(code in codes) for code in self._vocabulary.codes]
        self._rows.append(
            {
                "id": study.study_id,
                "views": [image.view for image in study.radiographs],
                "text": report.text if report else None,
                "sections": [[s.name, s.start, s.end] for s in report.sections] if report else [],
                "terms": study.terms,
                "sides": label_sides(study.terms or (), self._vocabulary),
                "labels": labels or [None] * len(self._vocabulary),
            }
        )

    def finish(self, provenance: Provenance | None = None) -> StudySet:
        """The set as it is read back."""
        self._films.close()
        source = provenance or recognised(str(row["id"]) for row in self._rows)
        body = {
            "size": self._preprocessing.size,
            "display": self._preprocessing.display,
            "studies": self._rows,
            "collection": {"name": source.name, "licence": source.licence},
        }
        (self._folder / "studies.json").write_text(json.dumps(body))
        return StudySet.load(self._folder)


def kept_display(film: Radiograph, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """(S, S) display values of a film as the model's input shows it, 0 black to 255 white, as ``StudySet.films``."""
    display = to_input(film, preprocessing) * preprocessing.std + preprocessing.mean
    kept: npt.NDArray[np.uint8] = np.rint(display * 255).clip(0, 255).astype(np.uint8)
    return kept


def _films(file: Path, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """(N, S, S), read when they are asked for; none of them where there are none."""
    if not shape[0]:
        return np.empty(shape, np.uint8)
    if file.stat().st_size != shape[0] * shape[1] * shape[2]:
        raise ValueError("films of another size than is listed")
    return np.memmap(file, np.uint8, "r", shape=shape)


def term_targets(data: StudySet, train: npt.NDArray[np.int64], least: int = 8) -> npt.NDArray[np.float32]:
    """Finer targets than the labels, to learn from: every MeSH heading, and heading with qualifier, that at least
    ``least`` training studies were coded with. (B, K) float32 in {0, 1, NaN}, columns in alphabetic order."""
    parts = [None if terms is None else {part for term in terms for part in _parts(term)} for terms in data.terms]
    counts = Counter(part for row in train for part in parts[row] or ())
    columns = sorted(part for part, count in counts.items() if count >= least)
    found = [[np.nan] * len(columns) if own is None else [float(part in own) for part in columns] for own in parts]
    return np.array(found, np.float32).reshape(len(parts), len(columns))


def label_sides(terms: Sequence[str], vocabulary: Vocabulary) -> list[int]:
    """For each label 1, -1 or 0: see ``StudySet.sides``."""
    parsed = [(Term.parse(term), laterality(term)) for term in terms]
    sides = []
    for label in vocabulary.labels:
        named = {side for term, side in parsed if label.matches((term,))}
        sides.append(1 if named == {"left"} else -1 if named == {"right"} else 0)
    return sides


def _parts(term: str) -> list[str]:
    parsed = Term.parse(term)
    return [parsed.heading, *(f"{parsed.heading}/{qualifier}" for qualifier in parsed.qualifiers)]
