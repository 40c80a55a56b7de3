"""The gallery that ships with a checkpoint: neighbours for a first film, before anything is downloaded.

One safetensors file per checkpoint in ``galleries/``, named after its fingerprint: embeddings in half precision, codes
of labels and findings, study and image identifiers of the collection's training studies. No image and no sentence of a
report is in it; those appear when the collection itself is imported.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from lingula.errors import LibraryError, ModelError
from lingula.labels import Assertion
from lingula.library import conditions as kinds
from lingula.library.catalogue import Roster, Rows
from lingula.library.conditions import Condition
from lingula.library.engines import NumpyExact
from lingula.library.record import LibraryDescription, ShownImage, StudyRecord, Summary
from lingula.library.record_cache import NumbersCache, remembered
from lingula.library.vectors import Comparison, Gallery
from lingula.study import MODES, Mode, Study, View

FOLDER = Path(__file__).parent / "galleries"
Vector = npt.NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """Questions of one mode, against which hubs among answers are told (``retrieval.hubness``).

    Attributes:
        vectors: (M, D) of unit norm, M > 0.
    """

    vectors: Vector


@dataclass(frozen=True, slots=True)
class GalleryStudy:
    """A study of the gallery: codes only."""

    study_id: str
    labels: tuple[str, ...]
    images: tuple[ShownImage, ...]
    said: tuple[Assertion, ...]


@dataclass(frozen=True, eq=False)
class ReadyGallery:
    """Studies that can be searched like those of a library, without pictures and reports.

    Attributes:
        about: model, vocabulary and dimension it was made for.
        fingerprint: SHA-256, hex, of its content.
        norm: mean length of an image state before its norm is taken, which turns an embedding back into logits.
    """

    about: LibraryDescription
    fingerprint: str
    norm: float
    _known: Mapping[str, GalleryStudy] = field(repr=False)
    _vectors: Mapping[Mode, tuple[tuple[str, ...], Vector]] = field(repr=False)
    _made: dict[Hashable, dict[str, Any]] = field(default_factory=dict, repr=False)
    _numbers: NumbersCache = field(default_factory=NumbersCache, repr=False)
    has_texts = False

    @classmethod
    def of(cls, model: str, folder: Path = FOLDER) -> Self | None:
        """The gallery made for a model, by its fingerprint; None when there is none."""
        path = folder / f"{model}.safetensors"
        return cls.load(path, model) if path.is_file() else None

    @classmethod
    def load(cls, path: Path, model: str) -> Self:
        """Read a gallery file and check it against its own hash and the model.

        Raises:
            LibraryError: ``index_corrupt`` for a file that is damaged. ModelError: ``model_mismatch``.
        """
        try:
            with safe_open(path, "numpy") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                body = json.loads(file.metadata()["lingula"])
            fingerprint = digest(tensors, body)
            if fingerprint != body["sha256"]:
                raise ValueError(f"its SHA-256 is {fingerprint[:12]}…")
            about = LibraryDescription(body["model"], body["vocabulary"], tuple(body["labels"]), body["dimension"])
            known, vectors = _unpacked(tensors, body)
        except (OSError, ValueError, KeyError, TypeError, IndexError, SafetensorError) as error:
            raise LibraryError("index_corrupt", f"{path} is damaged: {error}.", "Install lingula again.") from error
        if about.model != model:
            raise ModelError("model_mismatch", f"{path} was made for model {about.model}, not for {model}.")
        return cls(about, fingerprint, float(body["norm"]), known, vectors)

    def __len__(self) -> int:
        return len(self._known)

    def held(self) -> AbstractContextManager[None]:
        """It never changes."""
        return nullcontext()

    @cached_property
    def _galleries(self) -> dict[Mode, Gallery]:
        empty = Gallery.empty(self.about.dimension)
        return {mode: empty.extended(1, ids, vectors, NumpyExact) for mode, (ids, vectors) in self._vectors.items()}

    def matching(self, *conditions: Condition) -> frozenset[str]:
        """Ids of the studies that meet all conditions. No words and no ages are kept: no study holds any."""
        found = frozenset(self._known)
        for condition in conditions:
            found &= self._meeting(condition)
        return found

    @cached_property
    def _by_finding(self) -> dict[str, list[tuple[str, Assertion]]]:
        found: dict[str, list[tuple[str, Assertion]]] = defaultdict(list)
        for study, known in self._known.items():
            for each in known.said:
                found[each.finding].append((study, each))
        return found

    def _meeting(self, condition: Condition) -> frozenset[str]:
        known = self._known
        match condition:
            case kinds.Asserts():
                findings = (condition.finding,) if condition.finding else tuple(self._by_finding)
                pairs = (pair for finding in findings for pair in self._by_finding.get(finding, ()))
                return frozenset(
                    study
                    for study, each in pairs
                    if condition.holds(each.polarity, each.past, each.side, each.place, each.section)
                )
            case kinds.Labelled(label):
                return frozenset(study for study in known if label in known[study].labels)
            case kinds.Coded() | kinds.Reported():
                return frozenset(known)
            case kinds.Shows(view):
                return frozenset(study for study in known if any(image.view == view for image in known[study].images))
            case kinds.Not(inner):
                return frozenset(known) - self._meeting(inner)
            case kinds.AnyOf(several):
                return frozenset().union(*(self._meeting(one) for one in several))
            case kinds.Says() | kinds.Aged():
                return frozenset()

    def summaries(self, study_ids: Collection[str]) -> dict[str, Summary]:
        return {
            study: Summary(study, None, known.labels, None, "", known.images)
            for study in study_ids
            if (known := self._known.get(study))
        }

    def assertions(self, study_ids: Collection[str]) -> dict[str, tuple[Assertion, ...]]:
        """What the reports assert; the spans are empty, since the texts are not here."""
        return {study: self._known[study].said for study in study_ids}

    def vectors(self, study_ids: Collection[str], mode: Mode = "joint") -> dict[str, Vector]:
        return self._galleries[mode].of(study_ids)

    @cached_property
    def roster(self) -> Roster:
        """Its studies by row."""
        return Roster(tuple(self._known))

    def compared(self, roster: Roster, vector: Vector, *, mode: Mode) -> Comparison:
        """A (D,) unit-norm question compared with the embeddings of one mode of the studies in its roster."""
        return self._galleries[mode].compared(roster, vector)

    def remembered(
        self, kind: Hashable, study_ids: Collection[str], read: Callable[[Collection[str]], dict[str, T]]
    ) -> dict[str, T]:
        """What is made of each study's record, for one kind of thing the same way."""
        return remembered(self._made.setdefault(kind, {}), study_ids, read)

    def nearest(
        self, vector: Vector, *, mode: Mode = "joint", k: int, exclude: Collection[str] = (),
        within: Collection[str] | None = None,
    ) -> tuple[tuple[str, float], ...]:  # fmt: skip
        """The k nearest (study id, cosine), by ``(-score, study_id)``."""
        return self._galleries[mode].nearest(vector, k, exclude, within)

    def numbers(
        self, kind: Hashable, roster: Roster, rows: Rows, make: Callable[[list[str]], npt.NDArray[np.float64]]
    ) -> npt.NDArray[np.float64]:
        """What is made of each study's record, as numbers (N, ...) of the studies in N rows of its roster, for one kind
        of thing the same way."""
        return self._numbers.of(kind, roster, rows, make)

    def birth_key(self, birth_date: str) -> str:
        """No dates are kept: none is the same."""
        return ""

    def ids_of(self, study: Study) -> frozenset[str]:
        """Under which ids it would hold a study: the collection's own."""
        return frozenset({study.study_id})

    def holding(self, study: Study) -> frozenset[str]:
        """The study under its own id, if it is here."""
        return frozenset({study.study_id} & self._known.keys())

    def get(self, study_id: str) -> StudyRecord:
        """The study without its pictures and report.

        Raises:
            LibraryError: ``study_unknown``.
        """
        if study_id not in self._known:
            raise LibraryError("study_unknown", f"the gallery has no study {study_id!r}.")
        return StudyRecord(study_id, "", None, None, self._known[study_id].labels, (), None, "", MODES, ())


@cache
def typical_norm(model: str, folder: Path = FOLDER) -> float | None:
    """``ReadyGallery.norm`` of a model's gallery, read alone; None when it has none."""
    about = _about(model, folder)
    return float(about["norm"]) if about else None


@cache
def study_ids(model: str, folder: Path = FOLDER) -> frozenset[str]:
    """The studies of a model's gallery, which it learnt from; empty when it has none."""
    return frozenset(map(str, _about(model, folder).get("ids", ())))


@cache
def bank(model: str, mode: Mode, folder: Path = FOLDER) -> Bank | None:
    """The embeddings of a model's gallery in a mode, as questions; None without a gallery."""
    if not _about(model, folder):
        return None
    with safe_open(folder / f"{model}.safetensors", "numpy") as file:
        return Bank(_unit(file.get_tensor(mode))[1])


def _about(model: str, folder: Path) -> dict[str, Any]:
    """What a model's gallery says of itself; empty when there is none."""
    path = folder / f"{model}.safetensors"
    if not path.is_file():
        return {}
    with safe_open(path, "numpy") as file:
        about: dict[str, Any] = json.loads(file.metadata()["lingula"])
    return about


POLARITIES = ("present", "likely", "uncertain", "absent")
SIDES = (None, "left", "right", "bilateral")


def digest(tensors: Mapping[str, npt.NDArray[Any]], body: Mapping[str, Any]) -> str:
    """SHA-256, hex, of a gallery's tensors and of what is said of them, but for itself."""
    made = hashlib.sha256(json.dumps({**body, "sha256": ""}, sort_keys=True).encode())
    for name in sorted(tensors):
        made.update(name.encode() + np.ascontiguousarray(tensors[name]).tobytes())
    return made.hexdigest()


def _unpacked(
    tensors: Mapping[str, npt.NDArray[Any]], body: Mapping[str, Any]
) -> tuple[dict[str, GalleryStudy], dict[Mode, tuple[tuple[str, ...], Vector]]]:
    ids = tuple(map(str, body["ids"]))
    said: list[list[Assertion]] = [[] for _ in ids]
    made: dict[bytes, Assertion] = {}
    for row in tensors["said"]:
        key = row[1:].tobytes()
        if key not in made:
            _, finding, polarity, side, place, past = row.tolist()
            named = ("", *body["places"])[place] or None
            made[key] = Assertion(
                body["findings"][finding], cast(Any, POLARITIES[polarity]), 0, 0, "findings",
                cast(Any, SIDES[side]), named, bool(past),
            )  # fmt: skip
        said[row[0]].append(made[key])
    labels = body["labels"]
    known = {
        study: GalleryStudy(
            study,
            tuple(label for label, present in zip(labels, flags, strict=True) if present),
            tuple(ShownImage(image_id, cast(View, view), "") for image_id, view in images),
            tuple(told),
        )
        for study, flags, images, told in zip(ids, tensors["labels"].tolist(), body["images"], said, strict=True)
    }
    vectors: dict[Mode, tuple[tuple[str, ...], Vector]] = {}
    for mode in MODES:
        rows = tensors[mode]
        if rows.shape != (len(ids), body["dimension"]):
            raise ValueError(f"the {mode} embeddings have shape {rows.shape}")
        there, units = _unit(rows)
        vectors[mode] = tuple(ids[row] for row in there), units
    return known, vectors


def _unit(rows: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], Vector]:
    """The rows that are not zero, and these of unit norm."""
    rows = rows.astype(np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    there = np.flatnonzero(norms[:, 0] > 0)
    return there, rows[there] / norms[there]
