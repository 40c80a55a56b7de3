"""A report's text cut into runs that carry a token score, so that the runs put together are the text again."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lingula.labels import read_assertions
from lingula.labels.assertion_rules import Polarity
from lingula.labels.findings import label_of
from lingula.study import Neighbour, Report, TokenScore

LEVELS = 5  # steps of background strength; a word below half a step is left unmarked


@dataclass(frozen=True, slots=True)
class ReportRun:
    """A stretch of text drawn alike.

    Attributes:
        text: as in the report.
        level: -LEVELS..LEVELS, strength and sign of the background; 0 is unmarked.
        score: the token's score, shown on pointing; None for unmarked text.
        heading: True for a section's heading.
        mention: row of the ``ReportMention`` it belongs to; None where no finding is named.
    """

    text: str
    level: int = 0
    score: float | None = None
    heading: bool = False
    mention: int | None = None


@dataclass(frozen=True, slots=True)
class ReportMention:
    """``report.text[start:end]`` names what this label means, as present, likely, uncertain or absent."""

    start: int
    end: int
    label: str
    polarity: Polarity


def mentions(report: Report, labels: Collection[str]) -> tuple[ReportMention, ...]:
    """Where a report names one of these labels; words that name several go to the first read."""
    found: dict[tuple[int, int], ReportMention] = {}
    for said in read_assertions(report):
        if (label := label_of(said.finding)) in labels:
            found.setdefault((said.start, said.end), ReportMention(said.start, said.end, label, said.polarity))
    return tuple(found.values())


def runs(
    report: Report, tokens: Sequence[TokenScore] = (), named: Sequence[ReportMention] = ()
) -> tuple[ReportRun, ...]:
    """``report.text`` in runs. Where tokens overlap the stronger one is drawn; spans outside the text are cut."""
    length = len(report.text)
    owner = np.full(length, -1)  # (characters,) row of the token drawn there
    levels = token_levels([token.score for token in tokens])
    marked = [row for row, level in enumerate(levels) if level]
    for row in sorted(marked, key=lambda row: abs(tokens[row].score)):
        owner[max(tokens[row].start, 0) : max(tokens[row].end, 0)] = row
    heading, said = _headings(report), np.full(length, -1)
    for row, mention in enumerate(named):
        said[mention.start : mention.end] = row
    drawn = np.stack([owner, heading, said])  # (3, characters)
    changes = np.flatnonzero((drawn[:, 1:] != drawn[:, :-1]).any(0)) + 1
    cuts = [0, *changes.tolist(), length] if length else []
    found = []
    for start, end in pairwise(cuts):
        row, text = int(owner[start]), report.text[start:end]
        level, score = (levels[row], tokens[row].score) if row >= 0 else (0, None)
        found.append(
            ReportRun(text, level, score, bool(heading[start]), int(said[start]) if said[start] >= 0 else None)
        )
    return tuple(found)


def token_levels(scores: Sequence[float]) -> list[int]:
    """Scores in steps of the strongest finite one, sign kept."""
    top = max((abs(score) for score in scores if math.isfinite(score)), default=0.0)
    if not top:
        return [0] * len(scores)
    return [round(LEVELS * (score / top)) if math.isfinite(score) else 0 for score in scores]


def strongest(report: Report, tokens: Sequence[TokenScore], count: int = 5) -> tuple[tuple[str, float], ...]:
    """The ``count`` highest-scoring words by magnitude, ties in reading order."""
    ranked = sorted((t for t in tokens if math.isfinite(t.score) and t.score), key=lambda t: (-abs(t.score), t.start))
    named = ((report.text[max(t.start, 0) : max(t.end, 0)].strip(), t.score) for t in ranked)
    return tuple((word, score) for word, score in named if word)[:count]


def pieces(neighbour: Neighbour) -> tuple[tuple[str, str], ...]:
    """The telling piece of the report as (text, what it asserts of a finding asked for, or nothing)."""
    if neighbour.report is None or neighbour.snippet is None:
        return ()
    text, at = neighbour.report.text, neighbour.snippet.start
    pieces: list[tuple[str, str]] = []
    for mark in sorted(neighbour.snippet.marks, key=lambda mark: mark.start):
        if mark.start >= at:
            pieces += [(text[at : mark.start], ""), (text[mark.start : mark.end], mark.polarity)]
            at = mark.end
    return tuple(piece for piece in (*pieces, (text[at : neighbour.snippet.end], "")) if piece[0])


def _headings(report: Report) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(characters,) True where the text between two sections is the name of the second, as in ``FINDINGS:``."""
    mask, before = np.zeros(len(report.text), bool), 0
    for part in sorted(report.sections, key=lambda part: part.start):
        gap = report.text[before : part.start]
        if gap.strip().rstrip(":").casefold() == part.name:
            begin = before + len(gap) - len(gap.lstrip())
            mask[begin : before + len(gap.rstrip())] = True
        before = max(before, part.end)
    return mask
