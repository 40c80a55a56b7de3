"""Why two studies are alike: their cosine taken apart into patches and words, exactly, and what would change it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from lingula.explanation.contribution import average_shares_of
from lingula.explanation.target import Target, blurred, without
from lingula.model.checkpoint import Checkpoint
from lingula.plain import HIDDEN
from lingula.reading.preprocess import Letterbox, to_radiograph
from lingula.study import Mode, Report, Study, TokenScore

Floats = npt.NDArray[np.float32]
REGIONS = 7
"""A film's regions for counterfactuals: so many by so many."""
MATCHES = 5


@dataclass(frozen=True, slots=True)
class Match:
    """Two patches with evidence for the same findings.

    ``score`` is what the pair adds to the cosine, of what the head reads.
    ``one`` and ``other`` are (film, x, y, width, height) in the pixels of each study's film.
    """

    score: float
    one: tuple[int, int, int, int, int]
    other: tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Aligned:
    """Two sentences about the same, as spans of either report; ``score`` adds to the cosine of the texts."""

    score: float
    one: tuple[int, int]
    other: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One study's part of a cosine: shares of its patches (maps in film pixels) and words, summing to ``total``."""

    study: Study = field(metadata=HIDDEN)
    maps: tuple[Floats, ...] = field(repr=False, metadata=HIDDEN)
    tokens: tuple[TokenScore, ...]
    image: float
    text: float

    @property
    def total(self) -> float:
        return self.image + self.text


@dataclass(frozen=True, slots=True, eq=False)
class Similarity:
    """A cosine of two studies, from both sides.

    Attributes:
        score: the cosine of the deployed embeddings, of the stored one where that was given.
        one, other: shares of either study. The first sum to ``score``, the second with ``remainder`` to it.
        remainder: what the stored embedding has beyond that of the stored picture, which is smaller than the film.
        sum_error: the larger distance of either sum from ``score``.
    """

    mode: Mode
    score: float
    one: Side
    other: Side
    matches: tuple[Match, ...]
    sentences: tuple[Aligned, ...]
    remainder: float
    sum_error: float


@dataclass(frozen=True, slots=True)
class Change:
    """The smallest set found whose removal drops a neighbour out of the first ``k``.

    Attributes:
        kind: "regions" or "words". places: (film, x, y, width, height) in film pixels. words: spans of the report.
        rank_before, rank_after: of the neighbour, on the deployed forward; equal sets of nothing where none was found.
    """

    kind: str
    places: tuple[tuple[int, int, int, int, int], ...]
    words: tuple[tuple[int, int], ...]
    rank_before: int
    rank_after: int
    found: bool


def similarity(
    one: Study, other: Study, checkpoint: Checkpoint, mode: Mode, stored: Floats | None = None
) -> Similarity:
    """Take the cosine of two studies apart; both must have what the mode reads.

    Args:
        stored: (D,) the other's embedding as a library keeps it; by default that of ``other`` as given.
    """
    label = checkpoint.vocabulary.codes[0]
    questions = [Target.ask(checkpoint, study, label, mode) for study in (one, other)]
    parts, states = zip(*(_parts(question) for question in questions), strict=True)
    norms = [float(np.linalg.norm(state)) for state in states]
    units = [state / max(norm, 1e-12) for state, norm in zip(states, norms, strict=True)]
    shown = float(units[0].astype(float) @ units[1].astype(float))
    toward = [each.astype(float) for each in (units[1] if stored is None else stored, units[0])]
    score = float(units[0].astype(float) @ toward[0])
    sides = []
    for i, question in enumerate(questions):
        sides.append(_side(question, (parts[i].astype(float) @ toward[i] / norms[i]).astype(np.float32)))
    sentences = _sentences(checkpoint, one, other)
    matches = _matches(questions, parts, norms[0] * norms[1])
    remainder = score - shown
    error = max(abs(sides[0].total - score), abs(sides[1].total + remainder - score))
    return Similarity(mode, score, sides[0], sides[1], matches, sentences, remainder, error)


def _parts(question: Target) -> tuple[Floats, Floats]:
    """Contributions (N * P + T, D) of a study's own patches and words, and the state they sum to.

    What the average film has at a place (a black border, the heart on the left) is no reason why two films are
    alike: of what the head reads, it is taken from the place and shared out among the film's patches, so that the sum
    stays.
    """
    model, output = question.checkpoint.model, question.trace()
    contributions, films, tokens = output.contributions[0], question.films, question.tokens
    average = average_shares_of(question, films)  # (N, L, P)
    lift = np.linalg.pinv(model.head_weight)  # (D, L)
    placed = (average - average.mean(2, keepdims=True)).transpose(0, 2, 1).reshape(-1, average.shape[1]) @ lift.T
    own = contributions[1 : 1 + films * model.patches] - placed
    return np.concatenate([own, contributions[len(contributions) - tokens :]]), output.state[0]


def _side(question: Target, shares: Floats) -> Side:
    """Shares as maps (per patch, each film pixel shows its patch's share) and words."""
    model, radiographs = question.checkpoint.model, question.study.radiographs
    films = question.films
    grid, size = model.architecture.grid, model.architecture.preprocessing.size
    patches = shares[: films * model.patches].reshape(films, grid, grid)
    maps = tuple(
        to_radiograph(patch, film.pixels, size)
        for patch, film in zip(patches, radiographs if films else (), strict=True)
    )
    words = shares[films * model.patches :]
    spans = question.spans if question.mode != "image" else ()
    tokens = tuple(
        TokenScore(start, end, float(share))
        for (start, end), share in zip(spans, words.tolist(), strict=True)
        if end > start
    )
    return Side(question.study, maps, tokens, float(patches.sum(dtype=float)), float(words.sum(dtype=float)))


def _matches(questions: Sequence[Target], parts: Sequence[Floats], norm: float) -> tuple[Match, ...]:
    """The pairs of patches that add most; no patch twice, nor one beside it, so that they are different places.

    Like is compared with like: patches of films of one view, where the studies share one. And only what the head reads
    is compared: the rest of a state encodes wording, to which a film's border, the same on every film, may
    add more than anything that a film shows.
    """
    if questions[0].mode == "text":
        return ()
    model = questions[0].checkpoint.model
    read = np.linalg.pinv(model.head_weight) @ model.head_weight  # (D, D)
    one, other = (part[: len(q.batch.pixels) * model.patches] for q, part in zip(questions, parts, strict=True))
    table = one @ read @ other.T / max(norm, 1e-12)
    views = [question.batch.views.repeat(model.patches) for question in questions]
    like = views[0][:, None] == views[1]
    if like.any():
        table = np.where(like, table, -1)
    found = []
    for _ in range(MATCHES):
        row, column = divmod(int(table.argmax()), table.shape[1])
        if (score := float(table[row, column])) <= 0:
            break
        found.append(Match(score, _place(questions[0], row), _place(questions[1], column)))
        table[_around(questions[0], row)] = -1
        table[:, _around(questions[1], column)] = -1
    return tuple(found)


def _around(question: Target, patch: int) -> list[int]:
    """A patch and those that touch it on the same film."""
    grid = question.checkpoint.model.architecture.grid
    film, inside = divmod(patch, grid**2)
    row, column = divmod(inside, grid)
    down, across = (range(max(at - 1, 0), min(at + 2, grid)) for at in (row, column))
    return [film * grid**2 + y * grid + x for y in down for x in across]


def _place(question: Target, patch: int) -> tuple[int, int, int, int, int]:
    """(film, x, y, width, height) of a patch in the film's pixels, cut at the film's edges."""
    a = question.checkpoint.model.architecture
    film, inside = divmod(patch, a.grid**2)
    row, column = divmod(inside, a.grid)
    pixels, side = question.study.radiographs[film].pixels, a.preprocessing.size / a.grid
    box, (rows, columns) = Letterbox.of(pixels, a.preprocessing.size), pixels.shape
    (top, left), (bottom, right) = (box.to_film((row + i) * side, (column + i) * side) for i in (0, 1))
    x = [min(max(edge, 0.0), columns) for edge in (left, right)]
    y = [min(max(edge, 0.0), rows) for edge in (top, bottom)]
    return film, round(x[0]), round(y[0]), round(x[1] - x[0]), round(y[1] - y[0])


_END = re.compile(r"[.?!;](?=\s|$)|\n\s*\n")


def sentences_of(report: Report) -> tuple[tuple[int, int], ...]:
    """Spans of a report's sentences, section by section, without the white space around them."""
    found = []
    for section in report.sections:
        start = section.start
        for stop in (*(m.end() for m in _END.finditer(report.text, section.start, section.end)), section.end):
            text = report.text[start:stop]
            if any(char.isalnum() for char in text):
                found.append((start + len(text) - len(text.lstrip()), start + len(text.rstrip())))
            start = stop
    return tuple(found)


def _sentences(checkpoint: Checkpoint, one: Study, other: Study) -> tuple[Aligned, ...]:
    """Pairs of sentences that add most to the cosine of the texts read alone, no sentence twice."""
    if not all(study.report and not study.report.is_empty for study in (one, other)):
        return ()
    tables, spans, norm = [], [], 1.0
    for study in (one, other):
        assert study.report is not None
        question = Target.ask(checkpoint, study.text_only(), checkpoint.vocabulary.codes[0], "text")
        parts, state = _parts(question)
        own = sentences_of(study.report)
        inside = np.array(
            [[start >= a and end <= b and end > start for start, end in question.spans] for a, b in own], np.float32
        ).reshape(len(own), len(question.spans))
        tables.append(inside @ parts)
        spans.append(own)
        norm *= float(np.linalg.norm(state))
    table, found = tables[0] @ tables[1].T / max(norm, 1e-12), []
    for _ in range(min(MATCHES, *table.shape)):
        row, column = divmod(int(table.argmax()), table.shape[1])
        if (score := float(table[row, column])) <= 0:
            break
        found.append(Aligned(score, spans[0][row], spans[1][column]))
        table[row], table[:, column] = -1, -1
    return tuple(found)


def what_would_change(
    study: Study, checkpoint: Checkpoint, toward: Floats, rank: Callable[[Floats], int], mode: Mode, *, k: int = 5
) -> tuple[Change, ...]:
    """The regions, and the words, without which a neighbour is no longer among the first k.

    Greedy: what adds most to the cosine goes first, until the deployed forward ranks the neighbour below k; then each
    is put back, and stays out only where it is needed.

    Args:
        toward: (D,) the neighbour's embedding. rank: of the neighbour for an embedding (D,), from 1.
    """
    question = Target.ask(checkpoint, study, checkpoint.vocabulary.codes[0], mode)
    kinds = [kind for kind, where in (("regions", "text"), ("words", "image")) if mode != where]
    return tuple(_change(question, toward, rank, k, kind) for kind in kinds)


def _change(question: Target, toward: Floats, rank: Callable[[Floats], int], k: int, kind: str) -> Change:
    units = _regions(question) if kind == "regions" else _words(question)
    before = rank(_embedding(question, kind, ()))
    gains = _gains(question, toward, kind, units)
    order = [units[i] for i in np.argsort(-gains, kind="stable") if gains[i] > 0]
    gone: list[tuple[int, ...]] = []
    step, after = max(1, len(order) // 16), before
    while after <= k and len(gone) < len(order):
        gone += order[len(gone) : len(gone) + step]
        after = rank(_embedding(question, kind, gone))
    if after <= k:
        return Change(kind, (), (), before, before, False)
    shorter = True
    while shorter:  # what came back may leave others idle
        shorter = False
        for unit in list(reversed(gone)):  # the least telling may come back first
            fewer = [each for each in gone if each != unit]
            if fewer and (now := rank(_embedding(question, kind, fewer))) > k:
                gone, after, shorter = fewer, now, True
    places = tuple((u[0], u[1], u[2], u[3], u[4]) for u in gone) if kind == "regions" else ()
    words = tuple((u[0], u[1]) for u in sorted(gone)) if kind == "words" else ()
    return Change(kind, places, words, before, after, True)


def _regions(question: Target) -> list[tuple[int, ...]]:
    """(film, x, y, width, height): ``REGIONS`` by ``REGIONS`` of every film, in its pixels."""
    found: list[tuple[int, ...]] = []
    for film, radiograph in enumerate(question.study.radiographs):
        rows, columns = radiograph.pixels.shape
        y, x = (np.arange(REGIONS + 1) * side // REGIONS for side in (rows, columns))
        found += [
            (film, int(x[j]), int(y[i]), int(x[j + 1] - x[j]), int(y[i + 1] - y[i]))
            for i in range(REGIONS)
            for j in range(REGIONS)
        ]
    return found


def _words(question: Target) -> list[tuple[int, ...]]:
    """Spans of whole words that the model reads."""
    assert question.study.report is not None
    read = [(start, end) for start, end in question.spans if end > start]
    words = (match.span() for match in re.finditer(r"\w+", question.study.report.text))
    return [span for span in words if any(start < span[1] and end > span[0] for start, end in read)]


def _gains(question: Target, toward: Floats, kind: str, units: Sequence[tuple[int, ...]]) -> npt.NDArray[np.float64]:
    """What each unit's patches or tokens add to the cosine."""
    parts, state = _parts(question)
    side = _side(question, parts @ toward / max(float(np.linalg.norm(state)), 1e-12))
    if kind == "regions":
        return np.array([side.maps[f][y : y + h, x : x + w].mean() for f, x, y, w, h in units])
    return np.array([sum(t.score for t in side.tokens if t.start < end and t.end > start) for start, end in units])


def _embedding(question: Target, kind: str, gone: Sequence[tuple[int, ...]]) -> Floats:
    """The deployed embedding of the study without these regions (blurred) or words (blanked)."""
    if kind == "words":
        assert question.study.report is not None
        report = without(question.study.report, [(start, end) for start, end in gone])
        if report.is_empty:
            return np.zeros(question.checkpoint.model.architecture.dimension, np.float32)
        study = replace(question.study, report=report)
        label = question.checkpoint.vocabulary.codes[question.label]
        question = Target.ask(question.checkpoint, study, label, question.mode)
        return np.asarray(question.forward().embedding[0])
    pixels, empty = question.pixels.copy(), blurred(question.pixels)
    size = pixels.shape[-1]
    for film, x, y, w, h in gone:
        box = Letterbox.of(question.study.radiographs[film].pixels, size)
        (top, left), (bottom, right) = (
            (round(down), round(across)) for down, across in (box.to_input(y, x), box.to_input(y + h, x + w))
        )
        here = (0, film, 0, slice(top, bottom), slice(left, right))
        pixels[here] = empty[here]
    return np.asarray(question.forward(pixels).embedding[0])
