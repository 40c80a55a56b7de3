"""Answering a query: conditions first, then the nearest by embedding, then what findings and words add."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError, LibraryError, Notice
from lingula.labels import FOUND, Assertion
from lingula.labels.assertions import STRENGTH
from lingula.labels.findings import label_meaning, label_of
from lingula.labels.sentences import Span, sentences
from lingula.library.catalogue import Roster, Rows
from lingula.library.engines import MARGIN
from lingula.library.record import StudyRecord, Summary
from lingula.library.shipped_gallery import Bank
from lingula.openi.published import published
from lingula.retrieval.feedback import moved
from lingula.retrieval.film_fingerprint import CORRELATION, thumbnail
from lingula.retrieval.hubness import SHARE, across, known_nearness
from lingula.retrieval.matching import Judge, MatchingStudies, Searched, ages_unknown, holds, matching_studies
from lingula.retrieval.query import Query, Wanted
from lingula.retrieval.relevance import LABEL_PARTS, LEAST, Relevance, Weights
from lingula.retrieval.similar_studies import EvidenceTable, PairEvidence, comparisons_of, evidence_on, odds_of, pool
from lingula.study import NORMAL, Duplicate, Evidence, Mark, Mode, Neighbour, Part, Report, Snippet

Vector = npt.NDArray[np.float32]

WEIGHTS = {"embedding": 1.0, "hub": -SHARE, "labels": 1.0, "words": 0.5}
"""What a cosine of 1, being near to every question, findings met with certainty, and all words found add to a score."""
SPARE = 10
"""Candidates beyond k, so that folded duplicates leave enough; where they do not, eight times as many are taken."""
POOL = 1000
"""Nearest studies among which, across modes, hubs are told from answers."""
ROUNDING = 1e-5
"""More than the rounding of a score's parts to six decimals adds up to."""
LONGEST = 240
"""Characters of a snippet."""
SAME_FILM = 0.995
"""Cosine of image embeddings from which two studies may show the same film."""


@dataclass(frozen=True, slots=True)
class QueryEmbedding:
    """The question as embedding: (D,) unit norm, and the mode in which it was read.

    ``expected``: by label, its probability in a study that is asked about; empty for a question in words.
    ``sentence``: by label, its probability in a question in words, read as a report; empty for a study.
    """

    vector: Vector
    source: Mode
    expected: Mapping[str, float] = field(default_factory=dict)
    sentence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A study that may answer: its score, the parts of that, and the evidence by which it was weighed.

    Of studies like a study the parts are made once it is known which are shown; others have no evidence.
    """

    study_id: str
    score: float
    parts: tuple[Part, ...]
    evidence: PairEvidence | None = None


def ask(
    library: Searched,
    query: Query,
    asked: QueryEmbedding | None,
    *,
    judge: Judge | None = None,
    exclude: Collection[str] = (),
    birth_key: str = "",
    bank: Callable[[Mode], Bank | None] = lambda mode: None,
    relevance: Relevance | None = None,
) -> tuple[tuple[Neighbour, ...], int, tuple[Notice, ...]]:
    """Answer a query.

    Of the studies that meet every condition, the best by score; a score is the sum of its parts, and studies of equal
    score are in the order of their ids.

    Args:
        asked: the question, or the study to be like; None where the studies to be ``more`` like are all there is.
        judge: judges the studies that nobody reported or coded; without one they meet no condition on findings.
        exclude: studies that may not answer.
        birth_key: of the asked study, to flag the same patient; empty when unknown.
        bank: questions in a mode, None where the model has none; asked for, against hubness, where the mode that
            is to answer is the other one.
        relevance: ranks the studies like a study whose labels are expected, unless the query names what to compare;
            without it they are ranked by embedding alone, and have no odds.

    Returns:
        The neighbours, how many studies meet the conditions, and what the reader should know.

    Raises:
        LibraryError: ``study_unknown`` for a study named in the query that is not there; ``library_empty``.
    """
    target = query.target or (asked.source if asked else "joint")
    named = {*query.more, *query.less, *([query.like] if query.like else [])}
    if named and (missing := sorted(named - library.summaries(named).keys())):
        raise LibraryError("study_unknown", f"the library has no study {missing[0]!r}.")
    if not len(library):
        raise LibraryError("library_empty", "the library holds no study.", "Import studies first.")
    start = asked.vector if asked else np.zeros(library.about.dimension, np.float32)
    more, less = (library.vectors(ids, target) if ids else {} for ids in (query.more, query.less))
    vector = moved(start, more, less)
    conditions = query
    if query.aim == "normal_look_alike":
        conditions = query.with_options(present=(*query.present, Wanted(NORMAL)))
    matches = matching_studies(library, conditions, judge, asked.sentence if asked else None)
    asked = QueryEmbedding(vector, asked.source if asked else target, asked.expected if asked else {})
    questions = bank(asked.source) if query.target and across(asked.source, target) else None
    spare = SPARE if query.fold else 0
    left_out = {*exclude, *named}
    like = _Like.of(library, query, asked, matches, left_out, judge, bank(asked.source), relevance)
    while True:
        if like is not None and query.aim != "normal_look_alike":
            candidates = like.candidates(query, matches, query.k + spare)
        else:
            candidates = _candidates(library, query, asked, target, matches, left_out, questions, query.k + spare)
        summaries = library.summaries([each.study_id for each in candidates])
        kept, is_whole = _folded(library, query, candidates, summaries, target)
        if is_whole or len(candidates) < query.k + spare:
            break
        spare *= 8
    odds: Sequence[float | None] = [None] * len(kept)
    if like is not None:
        kept, odds = like.told(query, matches, kept)
    notices = []
    if matches.relaxed and matches.allowed:
        message = f"No study shows all of {', '.join(matches.relaxed)}: those that show most of it come first."
        notices.append(Notice("condition_relaxed", message))
    if ages_unknown(library, query):
        notices.append(Notice("no_ages", "The library knows nobody's age: the ages asked for change no rank."))
    if matches.predicted:
        message = f"{len(matches.predicted)} studies without report or coding are judged by prediction."
        notices.append(Notice("judged_by_prediction", message))
    if query.words and not library.has_texts:
        message = f"The studies that ship with the model have no texts: {', '.join(query.words)} changes no rank."
        notices.append(Notice("no_texts", message))
    matching = len(library) if matches.allowed is None else len(matches.allowed)
    if query.words and not query.wanted and library.has_texts:
        matching = len(matches.words.keys() if matches.allowed is None else matches.allowed & matches.words.keys())
    neighbours = _shown(library, query, kept, odds, summaries, matches, birth_key)
    if like is not None and query.aim == "similar" and odds and max(each or 0.0 for each in odds) < LEAST:
        message = "Nothing in this library is much like the study: even the best answer probably shares nothing."
        notices.append(Notice("nothing_alike", message))
    return neighbours, matching, tuple(notices)


Folded = tuple[Candidate, tuple[Duplicate, ...]]
"""A candidate, and those left out as the same."""


@dataclass(frozen=True, slots=True, eq=False)
class _Like:
    """What is known of the studies near the asked one, and the relevance model that weighs it."""

    asked: QueryEmbedding
    relevance: Relevance
    roster: Roster
    near: Rows
    evidence: Callable[[Rows, bool], EvidenceTable]
    """On the studies in some rows of the roster, exactly or nearly so."""

    @classmethod
    def of(
        cls, library: Searched, query: Query, asked: QueryEmbedding, matches: MatchingStudies, exclude: Collection[str],
        judge: Judge | None, bank: Bank | None, relevance: Relevance | None,
    ) -> _Like | None:  # fmt: skip
        """None where nothing is expected of the asked study, or the query says what to compare."""
        if relevance is None or query.target is not None or not asked.expected:
            return None
        roster, mode = library.roster, asked.source
        compared = comparisons_of(library, roster, asked.vector, mode)

        def evidence(rows: Rows, exactly: bool) -> EvidenceTable:
            return evidence_on(library, roster, rows, compared, mode, asked.expected, judge, bank, exactly=exactly)

        return cls(asked, relevance, roster, pool(roster, compared, matches.allowed, exclude, query.k), evidence)

    def candidates(self, query: Query, matches: MatchingStudies, wanted: int) -> list[Candidate]:
        """The best ``wanted`` by the relevance model; with the aim *same findings*, least alike to the eye first."""
        best = []
        is_unlike = query.aim == "same_findings"
        evidence = self.evidence(self.near if is_unlike else self._near_best(matches, wanted), True)
        for row in range(len(evidence.rows)):
            study, pair = evidence.study_id(row), evidence.pair(row)
            parts = _unlike(pair, self._weights(pair), self.asked.source) if is_unlike else ()
            own = sum(part.score for part in parts) if is_unlike else pair.score(self._weights(pair))
            extra = _asked_for(query, matches, study)
            score = round(own + sum(part.score for part in extra), 6)
            best.append(Candidate(study, score, (*parts, *extra) if is_unlike else (), pair))
        return sorted(best, key=lambda each: (-each.score, each.study_id))[:wanted]

    def _near_best(self, matches: MatchingStudies, wanted: int) -> Rows:
        """Rows that may be among the best ``wanted``, by scores of all at once, from which the exact ones, summed of
        rounded parts, differ by little."""
        if len(self.near) <= wanted:
            return self.near
        scores = self.evidence(self.near, False).scores(self.relevance)
        if matches.labels or matches.words:
            studies = [self.roster.ids[row] for row in self.near.tolist()]
            labels, words = matches.labels, matches.words
            scores += np.array([_constant(labels.get(study, 0.0), words.get(study, 0.0)) for study in studies])
        off = ROUNDING + MARGIN * max(sum(each.score) for each in self.relevance.weights.values())
        rows: Rows = self.near[scores >= np.partition(scores, -wanted)[-wanted] - 2 * off]
        return rows

    def _weights(self, pair: PairEvidence) -> Weights:
        return self.relevance.weights[self.asked.source, pair.reported]

    def told(self, query: Query, matches: MatchingStudies, kept: Sequence[Folded]) -> tuple[list[Folded], list[float]]:
        """Candidates with the parts of their scores, and the odds of each."""
        pairs = {candidate.study_id: candidate.evidence for candidate, _ in kept if candidate.evidence}
        if rest := [candidate.study_id for candidate, _ in kept if not candidate.evidence]:
            table = self.evidence(self.roster.rows(rest), True)
            pairs |= {table.study_id(row): table.pair(row) for row in range(len(table.rows))}
        found = []
        for candidate, duplicates in kept:
            pair, parts = pairs[candidate.study_id], candidate.parts
            if not parts:
                own = pair.parts(self._weights(pair), self.asked.source)
                parts = (*own, *_asked_for(query, matches, candidate.study_id))
            found.append((replace(candidate, parts=parts), duplicates))
        odds = [odds_of(self.relevance, pairs[candidate.study_id], self.asked.source) for candidate, _ in kept]
        return found, odds


def _unlike(pair: PairEvidence, weights: Weights, asked: Mode) -> tuple[Part, ...]:
    """What its labels add to a study's score, and what looking alike takes off."""
    labels = tuple(part for part in pair.parts(weights, asked) if part.name in LABEL_PARTS)
    seen = next((each for each in pair.compared if each), None)
    return (Part(seen[0], round(-seen[1], 6), -1.0, seen[1], asked), *labels) if seen else labels


def _asked_for(query: Query, matches: MatchingStudies, study: str) -> tuple[Part, ...]:
    return _parts(query, matches.labels.get(study, 0.0), matches.words.get(study, 0.0))


@dataclass(frozen=True, slots=True)
class Met:
    """What one thing asked for adds to a study's score; ``part`` says to which part, ``asked`` what it is."""

    part: Literal["labels", "words"]
    asked: str
    score: float


_SHOWING = ("must show", "must show one of")
"""What may be relaxed where nothing meets all of it."""


def met(library: Searched, query: Query, study_id: str, judge: Judge | None = None) -> tuple[Met, ...]:
    """A study's ``labels`` and ``words`` parts, finding by finding and word by word: they sum to the parts.

    Raises:
        InputError: ``bad_request`` for a study that does not meet the query.
    """
    asks = [
        *(("must show", Query(present=(wanted,))) for wanted in query.present),
        *([("must show one of", Query(either=query.either))] if query.either else []),
        *(("must not show", Query(absent=(wanted,))) for wanted in query.absent),
        *(("must leave open", Query(uncertain=(wanted,))) for wanted in query.uncertain),
    ]
    found = []
    relaxed = bool(matching_studies(library, query, judge).relaxed)
    asks = [(said, one) for said, one in asks if not relaxed or said in _SHOWING]
    for said, one in asks:
        named = f"{said} {'; '.join(map(str, one.wanted))}"
        value = matching_studies(library, one, judge).labels.get(
            study_id, 0.0 if relaxed and said in _SHOWING else None
        )
        if value is None:
            raise InputError("bad_request", f"Study {study_id} does not meet what is asked: {named}.")
        found.append(Met("labels", named, WEIGHTS["labels"] * value / len(asks)))
    for word in query.words:
        value = matching_studies(library, Query(words=(word,)), judge).words.get(study_id, 0.0)
        found.append(Met("words", word, WEIGHTS["words"] * value / len(query.words)))
    return tuple(found)


def _candidates(
    library: Searched,
    query: Query,
    asked: QueryEmbedding,
    target: Mode,
    matches: MatchingStudies,
    exclude: Collection[str],
    bank: Bank | None,
    wanted: int,
) -> list[Candidate]:
    """The best ``wanted``. Studies that meet findings and words equally form a group; its nearest are its best."""
    if matches.allowed is None and not matches.words:
        groups: dict[tuple[float, float], list[str] | None] = {(0.0, 0.0): None}
    else:
        every = matches.allowed if matches.allowed is not None else library.matching()
        equals: dict[tuple[float, float], list[str]] = defaultdict(list)
        for study in every:
            equals[matches.labels.get(study, 0.0), matches.words.get(study, 0.0)].append(study)
        groups = dict(equals)
    best: list[Candidate] = []
    most = WEIGHTS["embedding"] if bank is None else WEIGHTS["embedding"] - WEIGHTS["hub"]  # of all embeddings tell
    for (labels, words), members in sorted(groups.items(), key=lambda group: -_constant(*group[0])):
        if len(best) >= wanted and _constant(labels, words) + most < best[wanted - 1].score:
            break
        extra = _parts(query, labels, words)
        fall_back = query.target is None
        depth = wanted if bank is None else max(wanted, POOL)
        found = list(islice(_nearest(library, asked, target, depth, members, exclude, fall_back=fall_back), depth))
        hubness = _hubness(library, [study for _, study, _ in found], target, bank)
        for mode, study, cosine in found:
            similar = (Part(mode, cosine, WEIGHTS["embedding"], cosine, asked.source), *hubness.get(study, ()))
            parts = (*similar, *extra)
            best.append(Candidate(study, round(sum(part.score for part in parts), 6), parts))
        best = sorted(best, key=lambda each: (-each.score, each.study_id))[:wanted]
    return best


def _hubness(library: Searched, studies: list[str], target: Mode, bank: Bank | None) -> dict[str, tuple[Part]]:
    """What being near to every question takes off each study's score."""
    if bank is None or not studies:
        return {}
    roster, weight = library.roster, WEIGHTS["hub"]
    rows = roster.rows(list(library.vectors(studies, target)))
    values = known_nearness(library, roster, rows, bank, target).tolist()
    return {
        roster.ids[row]: (Part("hub", round(weight * value, 6), weight, value),)
        for row, value in zip(rows.tolist(), values, strict=True)
    }


def _constant(labels: float, words: float) -> float:
    return WEIGHTS["labels"] * labels + WEIGHTS["words"] * words


def _parts(query: Query, labels: float, words: float) -> tuple[Part, ...]:
    parts = [("words", words, query.words), ("labels", labels, query.wanted)]
    return tuple(
        Part(name, round(WEIGHTS[name] * value, 6), WEIGHTS[name], round(value, 6))  # type: ignore[arg-type]
        for name, value, asked in parts
        if asked
    )


def _nearest(
    library: Searched,
    asked: QueryEmbedding,
    target: Mode,
    k: int,
    members: list[str] | None,
    exclude: Collection[str],
    *,
    fall_back: bool,
) -> Iterator[tuple[Mode, str, float]]:
    """The nearest in the target's mode; with ``fall_back``, where these are too few, studies without it, too."""
    seen: set[str] = set()
    enough = k if members is None else min(k, len(set(members).difference(exclude)))
    others: tuple[Mode, ...] = ("joint", "text", "image") if fall_back else ()
    for mode in dict.fromkeys((target, *others)):
        if len(seen) >= enough:
            return
        try:
            found = library.nearest(asked.vector, mode=mode, k=k, exclude={*exclude, *seen}, within=members)
        except LibraryError as error:
            if error.code != "library_empty" or not fall_back:
                raise
            found = ()
        yield from ((mode, study, score) for study, score in found)
        seen.update(study for study, _ in found)


def _folded(
    library: Searched,
    query: Query,
    candidates: Sequence[Candidate],
    summaries: Mapping[str, Summary],
    target: Mode,
) -> tuple[list[Folded], bool]:
    """The best k, each with the candidates that are the same: studies with the same films or, unless films alone are
    compared, the same text; and films that look the same. Where duplicates are wanted, as they come.

    Returns:
        Them, and whether more candidates would add nothing: one was met that is none of the k, nor the same as one.
    """
    if not query.fold:
        return [(candidate, ()) for candidate in candidates], True
    images = library.vectors([each.study_id for each in candidates], "image")
    words: dict[str, str] = {}
    kept: list[tuple[Candidate, list[Duplicate]]] = []
    is_whole = False
    for candidate in candidates:
        study = candidate.study_id
        words[study] = _words(summaries[study].report) if target != "image" else ""
        for first, duplicates in kept:
            why = "same study" if _same_files(summaries[first.study_id], summaries[study]) else ""
            if not why and words[study] and words[study] == words[first.study_id]:
                why = "same text"
            if not why and _alike(images.get(first.study_id), images.get(study)):
                why = "near-identical film" if same_film(library.get(first.study_id), library.get(study)) else ""
            if why:
                duplicates.append(Duplicate(study, why))
                break
        else:
            if len(kept) == query.k:
                is_whole = True
                break
            kept.append((candidate, []))
    return [(candidate, tuple(duplicates)) for candidate, duplicates in kept], is_whole


def _same_files(one: Summary, other: Summary) -> bool:
    files = [{image.digest for image in study.images if image.digest} for study in (one, other)]
    return bool(files[0]) and files[0] == files[1]


def same_film(one: StudyRecord, other: StudyRecord) -> bool:
    """Whether a film of one is the same picture as a film of the other, re-encoded or resized."""
    return same_pictures(*([stored.radiograph().pixels for stored in study.radiographs] for study in (one, other)))


def same_pictures(films: Sequence[Vector], others: Sequence[Vector]) -> bool:
    """Whether one of the first pictures (H, W) is the same as one of the second, re-encoded or resized."""
    one, other = ([thumbnail(pixels) for pixels in pictures] for pictures in (films, others))
    return any(float(a @ b) >= CORRELATION for a in one for b in other)


def _words(report: Report | None) -> str:
    text = f"{report.section('findings')} {report.section('impression')}" if report else ""
    return " ".join(re.findall(r"\w+", text.lower()))


def _alike(one: Vector | None, other: Vector | None) -> bool:
    return one is not None and other is not None and float(one @ other) >= SAME_FILM


def _shown(
    library: Searched,
    query: Query,
    kept: Sequence[Folded],
    odds: Sequence[float | None],
    summaries: Mapping[str, Summary],
    matches: MatchingStudies,
    birth_key: str,
) -> tuple[Neighbour, ...]:
    ids = [candidate.study_id for candidate, _ in kept]
    said = library.assertions(ids)
    reports = {study: report for study in ids if (report := summaries[study].report)}
    spans = library.remembered(told_spans, reports, lambda some: {study: told_spans(reports[study]) for study in some})
    born: dict[str, list[str]] = defaultdict(list)
    for study in ids:
        born[summaries[study].birth_key].append(study)
    if birth_key:
        born[birth_key].append("the asked study")
    neighbours = []
    for rank, ((candidate, duplicates), probability) in enumerate(zip(kept, odds, strict=True), 1):
        study = candidate.study_id
        known = summaries[study]
        image_ids = tuple(image.image_id for image in known.images)

        neighbours.append(
            Neighbour(
                rank,
                study,
                candidate.score,
                known.labels,
                known.report,
                image_ids,
                candidate.parts,
                snippet(known.report, said[study], query, spans[study]) if known.report else None,
                tuple(
                    _evidence(wanted, asked, said[study], known.labels, matches.predicted.get(study, {}))
                    for asked, group in (
                        ("present", query.present),
                        ("either", query.either),
                        ("absent", query.absent),
                        ("uncertain", query.uncertain),
                    )
                    for wanted in group
                ),
                duplicates,
                tuple(other for other in born[known.birth_key] if other != study) if known.birth_key else (),
                published(study, image_ids),
                odds=probability,
            )
        )
    return tuple(neighbours)


def _evidence(
    wanted: Wanted,
    asked: str,
    said: Sequence[Assertion],
    labels: Sequence[str],
    predicted: Mapping[str, tuple[float, bool]],
) -> Evidence:
    if predicted:  # of a place alone, or a finding without a label, a prediction says nothing
        foreseen = predicted.get(label_of(wanted.finding)) if wanted.finding else None
        if foreseen is None:
            return Evidence(wanted.finding, asked, None, "silence")
        return Evidence(wanted.finding, asked, None, "prediction", round(foreseen[0], 4))
    about = {each.polarity for each in said if holds(wanted, each)}
    if about:
        return Evidence(wanted.finding, asked, next((p for p in STRENGTH if p in about), "absent"), "report")
    coded = wanted.finding and label_meaning(wanted.finding) in labels
    return Evidence(wanted.finding, asked, None, "coding" if coded else "silence")


def told_spans(report: Report) -> tuple[Span, ...]:
    """Where the sentences of its impression stand, then those of its findings."""
    parts = sorted(report.sections, key=lambda part: part.name != "impression")
    told = (part for part in parts if part.name in ("findings", "impression"))
    return tuple(span for part in told for span in sentences(report.text, part.start, part.end))


def snippet(
    report: Report, said: Sequence[Assertion], query: Query, spans: Sequence[Span] | None = None
) -> Snippet | None:
    """The sentence that tells most of what was asked, by default of what is found, with the telling words marked.

    Args:
        spans: ``told_spans`` of the report, where they are known.
    """
    asked = [each for each in said if any(holds(wanted, each) for wanted in query.wanted)]
    telling = asked or [each for each in said if each.polarity in FOUND and each.finding != "normal"]
    spans = told_spans(report) if spans is None else spans
    if not spans:
        return None

    def tells(span: tuple[int, int]) -> tuple[int, int, int]:
        """What is found counts before what is denied; of sentences without either the first of some length is taken."""
        inside = [each for each in telling if span[0] <= each.start and each.end <= span[1]]
        found = len({each.start for each in inside if each.polarity != "absent"})
        return found, len({each.start for each in inside}), min(span[1] - span[0], 12)

    start, end = max(spans, key=tells)
    start += len(report.text[start:end]) - len(report.text[start:end].lstrip())
    end = min(end, start + LONGEST)
    marks = {
        (each.start, each.end): Mark(each.start, each.end, each.finding, each.polarity)
        for each in telling
        if start <= each.start and each.end <= end
    }
    return Snippet(start, end, tuple(marks.values()))
