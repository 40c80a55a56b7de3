"""One call from two studies to why they are alike: shares of the cosine, findings, sentences, what would change it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError
from lingula.explanation.similarity import Change, Side, Similarity, similarity, what_would_change
from lingula.explanation.target import Target
from lingula.explanation.why_words import carrying, why_words
from lingula.labels import polarity, read_assertions
from lingula.library import Library
from lingula.library import shipped_gallery as gallery
from lingula.model.batch import study_mode
from lingula.model.checkpoint import Checkpoint
from lingula.model.encode import ask_model, predict
from lingula.plain import DISCLAIMER, HIDDEN, JsonAnswer, named
from lingula.retrieval import Query
from lingula.retrieval.judge import judge, require_model
from lingula.retrieval.ranking import Met, met
from lingula.retrieval.relevance import relevance_of
from lingula.retrieval.similar_studies import comparisons_of, evidence_on, odds_of
from lingula.study import Mode, Part, Study


@dataclass(frozen=True, slots=True)
class FindingPair:
    """What is known of one finding of either study: present, absent, uncertain, or None where nothing is.

    ``basis`` names the source for either study: report, human coding or the model's prediction.
    """

    finding: str
    name: str
    one: str | None = field(metadata=named("query"))
    other: str | None = field(metadata=named("neighbour"))
    basis: tuple[str, str]


@dataclass(frozen=True, slots=True)
class FilmRegion:
    """A part of a film, in shares of its width and height; ``film`` is its row in the study."""

    film: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class RegionPair:
    """Two regions that show alike; ``score`` is what they add to the similarity."""

    score: float
    query: FilmRegion
    neighbour: FilmRegion


@dataclass(frozen=True, slots=True)
class SentencePair:
    """Two sentences that say alike."""

    score: float
    query: str
    neighbour: str


@dataclass(frozen=True, slots=True)
class SimilarityShare:
    """What films or report of the query add to the similarity."""

    name: str
    score: float


@dataclass(frozen=True, slots=True)
class ShownChange:
    """The smallest set of regions or words without which the neighbour is no longer among the first."""

    kind: str
    found: bool
    rank_before: int
    rank_after: int
    regions: tuple[FilmRegion, ...]
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Why(JsonAnswer):
    """Why a stored study answers a query.

    Attributes:
        rank: of the study in the library for this query. similarity: the cosine a search gives, taken apart.
        shared, differing: findings both are said to show; findings one shows and the other does not.
        met: what findings and words asked for besides add to the score of the search.
        parts: of the score that ranks studies like a study; they sum to it. odds: as of a ``Neighbour``. Both are of
            what the search by default reads, and empty where no relevance model was fitted.
        maps: where a server shows what each part of each film adds, for ``query`` and ``neighbour``; empty elsewhere.
    """

    study_id: str
    mode: Mode
    rank: int
    similarity: Similarity = field(metadata=HIDDEN)
    shared: tuple[FindingPair, ...]
    differing: tuple[FindingPair, ...]
    changes: tuple[Change, ...] = field(metadata=HIDDEN)
    model: str
    met: tuple[Met, ...] = field(default=(), metadata=named("asked"))
    maps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    odds: float | None = None

    SHOWN: ClassVar = {
        **{
            name: name
            for name in ("disclaimer", "score", "total", "sum_error", "remainder", "shares", "words", "matched")
        },
        **{name: name for name in ("sentences", "query", "neighbour")},
        "changes": "shown_changes",
    }

    @property
    def disclaimer(self) -> str:
        return DISCLAIMER

    @property
    def score(self) -> float:
        return self.similarity.score

    @property
    def total(self) -> float:
        """The score of a search that asks for the same: its parts, or the cosine alone, and what is met besides."""
        own = sum(part.score for part in self.parts) if self.parts else self.score
        return own + sum(each.score for each in self.met)

    @property
    def sum_error(self) -> float:
        return self.similarity.sum_error

    @property
    def remainder(self) -> float:
        return self.similarity.remainder

    @property
    def query(self) -> Side:
        return self.similarity.one

    @property
    def neighbour(self) -> Side:
        return self.similarity.other

    @property
    def shares(self) -> tuple[SimilarityShare, ...]:
        """With the remainder they add up to ``score``."""
        both = (("films", self.query.image), ("report", self.query.text))
        return tuple(SimilarityShare(name, score) for name, score in both if score)

    @property
    def words(self) -> tuple[str, ...]:
        """Why, in three sentences at most."""
        return why_words(self.shared, self.differing, self.changes, self.query.study)

    @property
    def matched(self) -> tuple[RegionPair, ...]:
        """Those that carry the score (``why_words.carrying``)."""
        return tuple(
            RegionPair(each.score, _region(each.one, self.query.study), _region(each.other, self.neighbour.study))
            for each in carrying(self.similarity)
        )

    @property
    def sentences(self) -> tuple[SentencePair, ...]:
        return tuple(
            SentencePair(each.score, _words(self.query.study, each.one), _words(self.neighbour.study, each.other))
            for each in self.similarity.sentences
        )

    @property
    def shown_changes(self) -> tuple[ShownChange, ...]:
        study = self.query.study
        return tuple(
            ShownChange(
                kind=each.kind,
                found=each.found,
                rank_before=each.rank_before,
                rank_after=each.rank_after,
                regions=tuple(_region(place, study) for place in each.places),
                words=tuple(_words(study, span) for span in each.words),
            )
            for each in self.changes
        )


def _region(place: tuple[int, int, int, int, int], study: Study) -> FilmRegion:
    film, x, y, width, height = place
    rows, columns = study.radiographs[film].pixels.shape
    return FilmRegion(film, x / columns, y / rows, width / columns, height / rows)


def _words(study: Study, span: tuple[int, int]) -> str:
    return study.report.text[slice(*span)] if study.report else ""


def why(
    study: Study,
    other: str,
    model: Checkpoint,
    library: Library,
    *,
    mode: Mode | None = None,
    query: Query | None = None,
    k: int = 5,
) -> Why:
    """Explain why a study of the library answers a query.

    Args:
        study: the query; model, library: as they answered it.
        other: id of the study of the library.
        mode: what is read of both; by default all that both have. k: "what would change" drops it out of the first k.
        query: findings and words asked for besides; what each adds to the score is named, too. Rank and changes are
            by the cosine alone.

    Returns:
        The cosine taken apart on both sides, summing to it, with findings shared and not and what would change it.

    Raises:
        LibraryError: ``study_unknown``. InputError: ``bad_request`` where the two have nothing in common to be read, or
            the study does not meet the query.
        ModelError: ``model_mismatch``.
    """
    require_model(library, model)
    record = library.get(other)
    stored = record.study()
    mode = _common(study, stored, mode)
    ranking = _Ranking.of(library, mode, library.ids_of(study), other)
    found = similarity(study, stored, model, mode, ranking.target)
    question = Target.ask(model, study, model.vocabulary.codes[0], mode)
    asked = question.forward().embedding[0]
    pairs = _findings(model, study, stored, record.labels)
    parts, odds = pair_parts(study, other, model, library) if query is None or query.target is None else ((), None)
    return Why(
        study_id=other,
        mode=mode,
        rank=ranking.rank(asked),
        similarity=found,
        shared=tuple(pair for pair in pairs if pair.one == pair.other == "present"),
        differing=tuple(pair for pair in pairs if (pair.one == "present") != (pair.other == "present")),
        changes=what_would_change(study, model, ranking.target, ranking.rank, mode, k=k),
        model=model.fingerprint,
        met=met(library, query, other, judge(model)) if query else (),
        parts=parts,
        odds=odds,
    )


def pair_parts(study: Study, other: str, model: Checkpoint, library: Library) -> tuple[tuple[Part, ...], float | None]:
    """What makes up the score and the odds of a stored study where a study asks; nothing without a relevance model."""
    relevance = relevance_of(model.fingerprint)
    if relevance is None:
        return (), None
    mode = study_mode(study)
    answer = ask_model(study, model, mode)
    bank = gallery.bank(model.fingerprint, mode)
    roster = library.roster
    compared = comparisons_of(library, roster, answer.embedding, mode)
    expected, rows = answer.probabilities, roster.rows([other])
    found = evidence_on(library, roster, rows, compared, mode, expected, judge(model), bank).pair(0)
    return found.parts(relevance.weights[mode, found.reported], mode), odds_of(relevance, found, mode)


@dataclass(frozen=True, slots=True, eq=False)
class _Ranking:
    """The library's vectors of one mode, without the asked study, and the one that is looked for."""

    ids: tuple[str, ...]
    vectors: npt.NDArray[np.float32]
    row: int

    @classmethod
    def of(cls, library: Library, mode: Mode, asked: Collection[str], wanted: str) -> _Ranking:
        gallery = library.gallery(mode)
        rows = [row for row, study_id in enumerate(gallery.ids) if study_id not in asked]
        ids = tuple(gallery.ids[row] for row in rows)
        if wanted not in ids:
            raise InputError("bad_request", f"Study {wanted} has no {mode} embedding, or is the asked study itself.")
        return cls(ids, np.asarray(gallery.vectors)[rows], ids.index(wanted))

    @property
    def target(self) -> npt.NDArray[np.float32]:
        return np.asarray(self.vectors[self.row], np.float32)

    def rank(self, vector: npt.NDArray[np.float32]) -> int:
        """By ``(-score, study_id)``, from 1."""
        scores = np.round(self.vectors @ vector, 6)
        mine = (-scores[self.row], self.ids[self.row])
        ties = np.flatnonzero(scores >= scores[self.row])
        return 1 + int(sum((-scores[i], self.ids[i]) < mine for i in ties))


def _common(one: Study, other: Study, asked: Mode | None) -> Mode:
    """The mode that reads all that both have."""
    if asked:
        study_mode(one, asked)
        study_mode(other, asked)
        return asked
    films = bool(one.radiographs and other.radiographs)
    text = all(study.report is not None and not study.report.is_empty for study in (one, other))
    if not films and not text:
        raise InputError("bad_request", "One study has only films, the other only text: nothing to compare.")
    return "joint" if films and text else "image" if films else "text"


def _findings(
    checkpoint: Checkpoint, one: Study, other: Study, labels: tuple[str, ...] | None
) -> tuple[FindingPair, ...]:
    """Every label known of either, in the vocabulary's order: by the report, else by coding, else by
    prediction."""
    said, bases = zip(*(_said(checkpoint, s, coded) for s, coded in ((one, None), (other, labels))), strict=True)
    codes = [c for c in checkpoint.vocabulary.codes if c != checkpoint.vocabulary.normal]
    return tuple(
        FindingPair(
            finding=code,
            name=checkpoint.vocabulary[code].name,
            one=said[0].get(code),
            other=said[1].get(code),
            basis=(bases[0], bases[1]),
        )
        for code in codes
        if code in said[0] or code in said[1]
    )


def _said(checkpoint: Checkpoint, study: Study, labels: tuple[str, ...] | None) -> tuple[dict[str, str], str]:
    codes = checkpoint.vocabulary.codes
    if study.report is not None and not study.report.is_empty:
        read = read_assertions(study.report)
        found = {code: said for code in codes if (said := polarity(read, code)) is not None}
        return {code: str(said) for code, said in found.items()} | dict.fromkeys(labels or (), "present"), "report"
    if labels is not None:
        return dict.fromkeys(labels, "present"), "coding"
    decided = {"present": "present", "absent": "absent", "abstain": "uncertain"}  # what cannot be judged is not said
    predictions = predict(study, checkpoint, anyway=True)
    return {p.label: decided[p.decision] for p in predictions if p.decision in decided}, "prediction"
