"""Practice: unknown films of the library with look-alikes for distraction; what was hard comes back sooner.

Nothing that is sent before an answer gives it away: a card is a random name, its picture is drawn anew, its
choices are in the order of their names, and identifiers, labels and report come with the verdict.
"""

from __future__ import annotations

import csv
import io
import json
import random
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Literal

from lingula.errors import InputError, LibraryError, ServerError
from lingula.library import Library, Summary
from lingula.library.spreadsheet import cell
from lingula.teaching.drill import NEAREST, look_alikes, to_anki
from lingula.teaching.drill_pages import film_uri

Difficulty = Literal["easy", "hard"]
CHOICES = 4
WAITS = (0, 600, 86_400, 3 * 86_400, 7 * 86_400, 30 * 86_400)
"""Seconds until a study comes back, by how often it was answered well in a row (Leitner's boxes)."""
OPEN_CARDS = 200
EXPORTED = 200
"""Cards of one export for Anki: each holds its films."""


@dataclass(slots=True)
class Seen:
    """How a study went: its box, when it is due, answers given and right."""

    box: int = 0
    due: float = 0.0
    seen: int = 0
    right: int = 0


@dataclass(frozen=True, slots=True)
class PracticeCard:
    """A question that is open: never sent, but for its name, its number of films and its choices."""

    card_id: str
    study_id: str
    rows: tuple[int, ...]
    choices: tuple[str, ...]
    answer: frozenset[str]
    difficulty: Difficulty


@dataclass(frozen=True, slots=True)
class PracticeVerdict:
    """What comes with an answer."""

    card: PracticeCard
    is_right: bool
    missed: tuple[str, ...]
    wrong: tuple[str, ...]


@dataclass(slots=True)
class _Progress:
    studies: dict[str, Seen] = field(default_factory=dict)
    findings: dict[str, Seen] = field(default_factory=dict)


class Practice:
    """The cards of a library and one person's progress, in a file of its own where one is named."""

    def __init__(self, library: Library, normal: str | None, path: Path | None = None, seed: int | None = None) -> None:
        self._library, self._normal, self._path = library, normal, path
        self._random = random.Random(seed)
        self._open: OrderedDict[str, PracticeCard] = OrderedDict()
        self._lock = threading.Lock()
        self._stock: tuple[int, dict[str, Summary]] = (-1, {})
        self._progress = _Progress()
        if path is not None and path.exists():
            try:
                body = json.loads(path.read_text("utf-8"))
                told = {kind: {key: Seen(**row) for key, row in body[kind].items()} for kind in ("studies", "findings")}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError("bad_request", f"{path} holds no progress.", "Name another file.") from error
            self._progress = _Progress(**told)

    def next(self, finding: str = "", difficulty: Difficulty = "easy") -> PracticeCard:
        """The next card: what is due first, then what was never seen.

        With a finding, half of the cards show it and half do not, so that asking for it gives nothing away.

        Raises:
            LibraryError: ``library_empty`` without a coded study with a film.
        """
        stock = self._studies()
        shows = {study for study, known in stock.items() if finding in known.labels}
        if finding and not shows:
            raise LibraryError("library_empty", "No study with a film is coded with that finding.")
        with self._lock:
            pool = sorted(stock)
            if finding:
                rest = sorted(set(stock) - shows)
                pool = sorted(shows) if not rest or self._random.random() < 0.5 else rest
            study_id = self._choose(pool)
            known = stock[study_id]
            answer = frozenset(label for label in known.labels if label != self._normal)
            choices = self._choices(study_id, known, answer, finding, difficulty, stock)
            rows = tuple(row for row, image in enumerate(known.images) if image.view != "lateral") or (0,)
            card = PracticeCard(secrets.token_urlsafe(12), study_id, rows, choices, answer & set(choices), difficulty)
            self._open[card.card_id] = card
            while len(self._open) > OPEN_CARDS:
                self._open.popitem(last=False)
        return card

    def card(self, card_id: str) -> PracticeCard:
        """An open card.

        Raises:
            ServerError: ``case_unknown`` once it was answered.
        """
        if (card := self._open.get(card_id)) is None:
            raise ServerError("case_unknown", "That card is no longer open.", "Take the next one.")
        return card

    def answer(self, card_id: str, chosen: Sequence[str]) -> PracticeVerdict:
        """Judge an answer, once; nothing chosen says "none of these"."""
        with self._lock:
            card = self.card(card_id)
            if unknown := sorted(set(chosen) - set(card.choices)):
                raise InputError("bad_request", f"{unknown[0]} is none of the choices.")
            del self._open[card_id]
            missed, wrong = sorted(card.answer - set(chosen)), sorted(set(chosen) - card.answer)
            right = not missed and not wrong
            now = time.time()
            _note(self._progress.studies.setdefault(card.study_id, Seen()), right, now)
            for label in {*card.answer, *wrong}:
                _note(self._progress.findings.setdefault(label, Seen()), label not in {*missed, *wrong}, now)
            self._keep()
        return PracticeVerdict(card, right, tuple(missed), tuple(wrong))

    @property
    def findings(self) -> dict[str, Seen]:
        """Progress by finding."""
        return dict(self._progress.findings)

    def due(self) -> int:
        """How many studies seen before are due again."""
        now = time.time()
        return sum(seen.due <= now for seen in self._progress.studies.values())

    def export(self) -> str:
        """Progress by study as CSV."""
        text = io.StringIO()
        table = csv.writer(text)
        table.writerow(["study_id", "seen", "right", "box", "due"])
        for study_id, seen in sorted(self._progress.studies.items()):
            table.writerow([cell(study_id), seen.seen, seen.right, seen.box, round(seen.due)])
        return text.getvalue()

    def export_anki(self, names: Mapping[str, str]) -> str:
        """The films answered before, hardest first, as cards for Anki: the films in front, what is coded behind."""
        kept = sorted(self._progress.studies.items(), key=lambda pair: (pair[1].box, pair[0]))[:EXPORTED]
        stored = set(self._library.summaries([study_id for study_id, _ in kept]))
        cards = []
        for study_id, _ in kept:
            if study_id in stored:
                record = self._library.get(study_id)
                shown = [film.radiograph() for film in record.radiographs if film.view != "lateral"]
                films = " ".join(f'<img src="{film_uri(film)}">' for film in shown or record.study().radiographs)
                coded = ", ".join(names.get(code, code) for code in record.labels or ())
                cards.append(
                    (f"What does it show?<br>{films}", f"{escape(coded) or 'nothing coded'} ({escape(study_id)})")
                )
        return to_anki(cards)

    def _studies(self) -> dict[str, Summary]:
        """Coded studies with a film, read again when the library has grown."""
        revision = self._library.revision
        if self._stock[0] != revision:
            known = self._library.summaries(self._library.ids())
            self._stock = revision, {study: each for study, each in known.items() if each.labels and each.images}
        if not self._stock[1]:
            raise LibraryError("library_empty", "No coded study with a film to practise on.", "Import a collection.")
        return self._stock[1]

    def _choose(self, pool: Sequence[str]) -> str:
        now, seen = time.time(), self._progress.studies
        due = sorted((seen[study].due, study) for study in pool if study in seen and seen[study].due <= now)
        if due:
            return due[0][1]
        return self._random.choice([study for study in pool if study not in seen] or list(pool))

    def _choices(
        self,
        study_id: str,
        known: Summary,
        answer: frozenset[str],
        finding: str,
        difficulty: Difficulty,
        stock: dict[str, Summary],
    ) -> tuple[str, ...]:
        """What can be ticked, by name: some of the answer, and what look-alikes show and this film does not."""
        chosen = sorted(answer)[:2]
        if finding and finding not in chosen:
            chosen = [finding, *chosen][: CHOICES - 1]
        others = sorted({label for each in stock.values() for label in each.labels} - answer - {self._normal, *chosen})
        self._random.shuffle(others)
        if difficulty == "hard":
            labels = {study: frozenset(each.labels) for study, each in stock.items()}
            alike = look_alikes(study_id, self._near(study_id), labels)
            near = [label for other, _ in alike for label in stock[other].labels if label in others]
            others = list(dict.fromkeys([*near, *others]))
        return tuple(sorted([*chosen, *others[: CHOICES - len(chosen)]]))

    def _near(self, study_id: str) -> tuple[tuple[str, float], ...]:
        vectors = self._library.vectors([study_id], "image")
        if study_id not in vectors:
            return ()
        return self._library.nearest(vectors[study_id], mode="image", k=NEAREST, exclude=(study_id,))

    def _keep(self) -> None:
        if self._path is not None:
            body = {kind: {key: asdict(seen) for key, seen in getattr(self._progress, kind).items()}
                    for kind in ("studies", "findings")}  # fmt: skip
            fresh = self._path.with_suffix(".new")
            fresh.write_text(json.dumps(body), "utf-8")
            fresh.replace(self._path)


def _note(seen: Seen, right: bool, now: float) -> None:
    seen.box = min(seen.box + 1, len(WAITS) - 1) if right else 0
    seen.due = now + WAITS[seen.box]
    seen.seen, seen.right = seen.seen + 1, seen.right + right
