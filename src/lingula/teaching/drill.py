"""A drill: pairs of films that look alike and differ in a finding, shown as unknowns; answers and progress apart.

A drill is a folder: ``questions.html`` (nothing in it gives an answer away: films are re-encoded without
names or metadata, cards are numbered by chance), ``answers.html``, ``key.json`` and, once something was
answered, ``progress.json``.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError
from lingula.library import Library
from lingula.study import Radiograph, Study, front_row

Film = Literal["A", "B"]
NEAREST = 20
"""Look-alikes of a study are sought among so many nearest."""
KEY, PROGRESS = "key.json", "progress.json"


@dataclass(frozen=True, slots=True)
class DrillCard:
    """One question: which of two films shows the finding.

    Attributes:
        number: from 1, in the drill's order. film: the right answer.
        finding: label code. a, b: study ids of the two films. likeness: cosine of the two.
    """

    number: int
    finding: str
    a: str
    b: str
    film: Film
    likeness: float


def mine(
    ids: Sequence[str],
    vectors: npt.NDArray[np.float32],
    labels: Mapping[str, frozenset[str]],
    *,
    normal: str | None,
    count: int,
    seed: int = 0,
) -> tuple[DrillCard, ...]:
    """Look-alikes with different findings, most alike first chosen, then in an order and on sides drawn by chance.

    Args:
        vectors: (N, D) unit-norm image embeddings of ``ids``. labels: codes by study; uncoded studies are left out.
        normal: the label of studies without a finding; normal films may be look-alikes, it is never asked
            for.

    No study is on two cards, and no finding on more than a quarter of them (at least two).
    """
    rows = [row for row, study_id in enumerate(ids) if study_id in labels]
    pairs: list[tuple[float, str, str]] = []
    for row in rows:
        scores, one = vectors[rows] @ vectors[row], ids[row]
        near = [(ids[rows[at]], float(scores[at])) for at in np.argsort(-scores, kind="stable")[: NEAREST + 1]]
        if labels[one] - {normal}:
            pairs += [(score, one, other) for other, score in look_alikes(one, near, labels)]
    rng = np.random.default_rng(seed)
    most, used, asked = max(2, -(-count // 4)), set[str](), dict[str, int]()
    chosen: list[tuple[str, str, str, float]] = []
    for score, one, other in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        open_ = sorted(c for c in labels[one] - {normal} if asked.get(c, 0) < most)
        if used & {one, other} or not open_ or len(chosen) == count:
            continue
        finding = open_[int(rng.integers(len(open_)))]
        asked[finding] = asked.get(finding, 0) + 1
        used |= {one, other}
        chosen.append((finding, one, other, score))
    sides = rng.permutation([i % 2 == 0 for i in range(len(chosen))])
    return tuple(
        DrillCard(number, finding, one, other, "A", score)
        if first
        else DrillCard(number, finding, other, one, "B", score)
        for number, (i, first) in enumerate(zip(rng.permutation(len(chosen)).tolist(), sides, strict=True), 1)
        for finding, one, other, score in [chosen[i]]
    )


def look_alikes(
    study_id: str, near: Iterable[tuple[str, float]], labels: Mapping[str, frozenset[str]]
) -> list[tuple[str, float]]:
    """Of the nearest (study id, cosine), those coded that share no label with the study: alike, and different."""
    return [(other, score) for other, score in near if other in labels and not labels[study_id] & labels[other]]


def mine_library(library: Library, *, normal: str | None, count: int, seed: int = 0) -> tuple[DrillCard, ...]:
    """``mine`` over the coded studies of a library that have films.

    Raises:
        InputError: ``bad_request`` where it holds no two such look-alikes.
    """
    gallery = library.gallery("image")
    known = library.summaries(gallery.ids)
    labels = {study_id: frozenset(known[study_id].labels) for study_id in gallery.ids if known[study_id].labels}
    cards = mine(gallery.ids, np.asarray(gallery.vectors), labels, normal=normal, count=count, seed=seed)
    if not cards:
        raise InputError("bad_request", "The library has no look-alikes with different findings.", "Import more.")
    return cards


def shown_film(study: Study) -> Radiograph:
    """The film of a study that a card shows, without its name: the first that is no lateral."""
    film = study.radiographs[front_row(film.view for film in study.radiographs) or 0]
    return Radiograph("film", film.pixels, film.view)


def write_key(folder: Path, cards: Sequence[DrillCard]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / KEY, json.dumps([asdict(card) for card in cards], indent=1).encode())


def read_key(folder: Path) -> tuple[DrillCard, ...]:
    """Raises InputError: ``not_found`` when the folder holds no drill, ``bad_request`` when its key is damaged."""
    if not (folder / KEY).is_file():
        raise InputError("not_found", f"{folder} holds no drill.", "Make one: lingula teach DIR --library LIBRARY.")
    try:
        return tuple(DrillCard(**row) for row in json.loads((folder / KEY).read_text("utf-8")))
    except (TypeError, ValueError) as error:
        raise InputError("bad_request", f"{folder / KEY} is damaged: {error}.", "Make the drill anew.") from error


@dataclass(frozen=True, slots=True)
class DrillProgress:
    """Answers given, by card: every attempt in order."""

    answers: Mapping[int, tuple[Film, ...]]

    @classmethod
    def load(cls, folder: Path) -> DrillProgress:
        path = folder / PROGRESS
        body = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        return cls({int(number): tuple(given) for number, given in body.items()})

    def with_answer(self, number: int, film: Film) -> DrillProgress:
        return replace(self, answers={**self.answers, number: (*self.answers.get(number, ()), film)})

    def save(self, folder: Path) -> None:
        body = {str(number): list(given) for number, given in sorted(self.answers.items())}
        _write(folder / PROGRESS, json.dumps(body).encode())

    def right(self, cards: Sequence[DrillCard]) -> int:
        """Cards whose last answer is right."""
        return sum(self.answers.get(card.number, ("",))[-1] == card.film for card in cards)


def to_csv(cards: Sequence[DrillCard], progress: DrillProgress, names: Mapping[str, str]) -> str:
    """One line a card: what was asked, answered, and right."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["card", "finding", "right", "answers", "last_right", "study_a", "study_b", "likeness"])
    for card in cards:
        given = progress.answers.get(card.number, ())
        last = str(given[-1] == card.film).lower() if given else ""
        name = names.get(card.finding, card.finding)
        row = [card.number, name, card.film, " ".join(given), last, card.a, card.b, f"{card.likeness:.4f}"]
        writer.writerow(row)
    return stream.getvalue()


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing: a drill that was interrupted keeps its last state."""
    aside = path.with_suffix(path.suffix + ".new")
    aside.write_bytes(data)
    aside.replace(path)
