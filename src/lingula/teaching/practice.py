"""Learning alone: unknown films of the library with look-alikes for distraction, back when FSRS says so.

Nothing that is sent before an answer gives it away: a card is a random name, its picture is drawn anew, its
choices are in the order of their names, and identifiers, labels and report come with the verdict.
"""

from __future__ import annotations

import csv
import io
import random
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from lingula.errors import InputError, LibraryError, ServerError
from lingula.library import Library, Summary
from lingula.library.spreadsheet import cell
from lingula.library.teaching_records import TaskAnswer
from lingula.teaching import repetition
from lingula.teaching.drill import NEAREST, look_alikes
from lingula.teaching.results import CalibrationStep, calibration_of, first_answers, model_calibration
from lingula.teaching.tasks import Model

Difficulty = Literal["easy", "hard"]
CHOICES = 4
OPEN_CARDS = 200
ALONE = "alone"
"""The task of an answer that belongs to no set."""


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
    """What comes with an answer; ``due`` is when the study comes back, in seconds since 1970."""

    card: PracticeCard
    is_right: bool
    missed: tuple[str, ...]
    wrong: tuple[str, ...]
    due: float


@dataclass(frozen=True, slots=True)
class FindingProgress:
    """How often a finding was asked for or named, and how often that was right."""

    seen: int
    right: int


@dataclass(frozen=True, slots=True)
class OwnCalibration:
    """How often a student was right by how sure, and how often the model was on the same films; first answers only."""

    student: tuple[CalibrationStep, ...]
    model: tuple[CalibrationStep, ...]


class PracticeStock:
    """The studies of a library that can be practised on: coded, with a film. Read again when the library has grown."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._summaries: tuple[int, dict[str, Summary]] = (-1, {})

    def summaries(self) -> dict[str, Summary]:
        """By id.

        Raises:
            LibraryError: ``library_empty`` where there is none.
        """
        revision = self._library.revision
        if self._summaries[0] != revision:
            known = self._library.summaries(self._library.ids())
            self._summaries = revision, {study: each for study, each in known.items() if each.labels and each.images}
        if not self._summaries[1]:
            raise LibraryError("library_empty", "No coded study with a film to practise on.", "Import a collection.")
        return self._summaries[1]


class Practice:
    """The cards of a library for one student, whose progress the library keeps.

    Args:
        model: probabilities of a study's labels, kept with each answer so that both can be compared.
        stock: shared by the students of a library.
    """

    def __init__(
        self, library: Library, normal: str | None, student: str = "me", seed: int | None = None, *,
        model: Model | None = None, stock: PracticeStock | None = None,
    ) -> None:  # fmt: skip
        self._library, self._normal, self.student, self._model = library, normal, student, model
        self._random = random.Random(seed)
        self._open: OrderedDict[str, PracticeCard] = OrderedDict()
        self._lock = threading.Lock()
        self._stock = stock or PracticeStock(library)

    def next(self, finding: str = "", difficulty: Difficulty = "easy") -> PracticeCard:
        """The next card: what is due first, then what was never seen.

        With a finding, half of the cards show it and half do not, so that asking for it gives nothing away.

        Raises:
            LibraryError: ``library_empty`` without a coded study with a film.
        """
        stock = self._stock.summaries()
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

    def answer(self, card_id: str, chosen: Sequence[str], confidence: int = 70) -> PracticeVerdict:
        """Judge an answer, once; nothing chosen says "none of these".

        Args:
            confidence: in percent that it is right: how soon the study comes back depends on it, too.
        """
        with self._lock:
            card = self.card(card_id)
            if unknown := sorted(set(chosen) - set(card.choices)):
                raise InputError("bad_request", f"{unknown[0]} is none of the choices.")
            if not 0 <= confidence <= 100:
                raise InputError("bad_request", "confidence is a number of percent, 0 to 100.")
            del self._open[card_id]
        missed, wrong = sorted(card.answer - set(chosen)), sorted(set(chosen) - card.answer)
        right = not missed and not wrong
        before = self._library.teaching.reviews(self.student).get(card.study_id)
        review = repetition.reviewed(self.student, card.study_id, before, right=right, confidence=confidence)
        said = self._model(card.study_id) if self._model is not None else {}
        model = {code: said[code] for code in card.choices if code in said}
        body = {"confidence": confidence, "answer": sorted(card.answer), "missed": missed, "invented": wrong,
                "model": model}  # fmt: skip
        answer = TaskAnswer(
            answer_id=secrets.token_hex(16), set_id="", link_id="", student=self.student, task=ALONE,
            study_id=card.study_id, at=time.time(), right=right, body=body,
        )  # fmt: skip
        self._library.teaching.add_answer(answer, review)
        return PracticeVerdict(card, right, tuple(missed), tuple(wrong), review.due)

    def forget(self, study_ids: Collection[str]) -> None:
        """Close the open cards of studies that were deleted."""
        with self._lock:
            for card_id in [card_id for card_id, card in self._open.items() if card.study_id in study_ids]:
                del self._open[card_id]

    @property
    def findings(self) -> dict[str, FindingProgress]:
        """Progress by finding."""
        seen, right = dict[str, int](), dict[str, int]()
        for each in self._given():
            for code in {*each.body["answer"], *each.body["invented"]}:
                seen[code] = seen.get(code, 0) + 1
                right[code] = right.get(code, 0) + (code not in {*each.body["missed"], *each.body["invented"]})
        return {code: FindingProgress(seen[code], right[code]) for code in seen}

    @property
    def calibration(self) -> OwnCalibration:
        """How sure and how right, beside the model's."""
        given = first_answers(self._given())
        return OwnCalibration(calibration_of(given), model_calibration(given))

    def due(self, until: float | None = None) -> int:
        """How many studies seen before are due again by a time, now by default."""
        return len(repetition.due_ids(self._library.teaching.reviews(self.student), until))

    def export(self) -> str:
        """Progress by study as CSV; due in seconds since 1970."""
        reviews = self._library.teaching.reviews(self.student)
        given = [each for each in self._library.teaching.answers(student=self.student) if not each.link_id]
        text = io.StringIO()
        table = csv.writer(text)
        table.writerow(["study_id", "seen", "right", "due"])
        for study_id in sorted({each.study_id for each in given}):
            about = [each.right for each in given if each.study_id == study_id]
            due = round(reviews[study_id].due) if study_id in reviews else ""
            table.writerow([cell(study_id), len(about), sum(about), due])
        return text.getvalue()

    def hardest(self) -> list[str]:
        """Studies answered before, those missed most often first."""
        wrong: dict[str, int] = {}
        for each in self._given():
            wrong[each.study_id] = wrong.get(each.study_id, 0) + (1 if not each.right else 0)
        return sorted(wrong, key=lambda study: (-wrong[study], study))

    def _given(self) -> list[TaskAnswer]:
        return [each for each in self._library.teaching.answers(student=self.student) if each.task == ALONE]

    def _choose(self, pool: Sequence[str]) -> str:
        reviews = self._library.teaching.reviews(self.student)
        due = [study for study in repetition.due_ids(reviews) if study in set(pool)]
        if due:
            return due[0]
        new = [study for study in pool if study not in reviews]
        return self._random.choice(new) if new else min(pool, key=lambda study: (reviews[study].due, study))

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
            near_films = self._library.nearest_to(study_id, mode="image", k=NEAREST)
            alike = look_alikes(study_id, near_films, labels)
            near = [label for other, _ in alike for label in stock[other].labels if label in others]
            others = list(dict.fromkeys([*near, *others]))
        return tuple(sorted([*chosen, *others[: CHOICES - len(chosen)]]))


class PracticeByStudent:
    """The practice of every student of a library; the arguments are those of ``Practice``."""

    def __init__(self, library: Library, normal: str | None, model: Model | None = None) -> None:
        self._library, self._normal, self._model = library, normal, model
        self._stock, self._lock = PracticeStock(library), threading.Lock()
        self._practices: dict[str, Practice] = {}

    def of(self, student: str) -> Practice:
        """A student's own practice."""
        with self._lock:
            if student not in self._practices:
                self._practices[student] = Practice(
                    self._library, self._normal, student, model=self._model, stock=self._stock
                )
            return self._practices[student]

    def forget(self, study_ids: Collection[str]) -> None:
        """Close the open cards of studies that were deleted."""
        with self._lock:
            practices = list(self._practices.values())
        for practice in practices:
            practice.forget(study_ids)
