"""What a set asks of a student: quiz, pairs, marks on films, written impressions. One question at a time.

Nothing that is given before an answer tells it: a question has a name made with the library's secret, its films are
drawn anew, the findings to tick are the same for all cases of a set, and words that name a finding are blanked in the
history. What was missed is asked again after the others. Nothing is held in memory: which question comes next follows
from the answers given, so that a task outlives the server.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from lingula.deidentification.handout import handout_film, handout_record, handout_summary
from lingula.errors import InputError, LibraryError
from lingula.labels import read_assertions
from lingula.library import Library, StudyRecord, Summary
from lingula.library.record import OLDEST
from lingula.library.teaching_records import TaskAnswer
from lingula.plain import DISCLAIMER
from lingula.reading.report_text import parse_report
from lingula.study import Report, Section
from lingula.teaching import repetition
from lingula.teaching.marking import FilmScale, MarkResult, judge_marks
from lingula.teaching.sets import (
    Drawing,
    TeachingCase,
    TeachingSet,
    case_findings,
    choices_of,
    handout_set,
    shown_findings,
)
from lingula.teaching.writing import mark_impression, unread

Task = Literal["quiz", "pairs", "marking", "writing"]
TASKS: tuple[Task, ...] = get_args(Task)
BLANK = "▁▁▁"
"""Stands in a history for words that name a finding."""
LOOK_ALIKES = 2
NEAREST = 20
"""Look-alikes of a study are sought among so many nearest."""
WORDS = 5000
"""Characters of a written impression."""


@dataclass(frozen=True, slots=True)
class TaskQuestion:
    """A question, without anything that tells its answer.

    Attributes:
        question_id: names it until it is answered; says nothing of the study.
        number, of: how many studies have been answered, this one counted, and how many there are.
        attempt: answers given to it before; sent back with the answer, so that none is given twice.
        films: how many there are to see.
        choices: findings to tick, code to name; those of a pair drill: the one asked for.
    """

    task: Task
    title: str
    question_id: str
    number: int
    of: int
    attempt: int
    question: str
    hint: str
    history: str
    films: int
    choices: Mapping[str, str]
    disclaimer: str = DISCLAIMER


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """What a student answers.

    Attributes:
        confidence: in percent that it is right, 0 to 100.
        chosen: codes of findings (quiz). side: "A" or "B" (pairs). drawings: marks. text: an impression (writing).
    """

    confidence: int = 50
    chosen: tuple[str, ...] = ()
    side: str = ""
    drawings: tuple[Drawing, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class LookAlike:
    """A study that looks like the one asked about and shows something else."""

    films: int
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reveal:
    """What comes with an answer: names of findings throughout.

    Attributes:
        answer, missed, invented: what it shows of what was asked; what of it was not answered; what was and is not so.
        study_id: empty for a class, which has no library to open it in.
        marks: of a marking task; written: of a writing task, ``WritingMark.to_json``.
        model: what the model holds of the findings to tick, by name; empty where it was not asked.
    """

    right: bool
    answer: tuple[str, ...]
    missed: tuple[str, ...]
    invented: tuple[str, ...]
    study_id: str
    labels: tuple[str, ...]
    report: str
    key_point: str
    drawings: tuple[Drawing, ...]
    alike: tuple[LookAlike, ...]
    marks: tuple[MarkResult, ...] = ()
    written: tuple[dict[str, Any], ...] = ()
    unread: bool = False
    model: Mapping[str, float] | None = None
    disclaimer: str = DISCLAIMER


@dataclass(frozen=True, slots=True)
class _Outcome:
    """An answer judged: codes."""

    right: bool
    answer: frozenset[str] = frozenset()
    missed: frozenset[str] = frozenset()
    invented: frozenset[str] = frozenset()
    marks: tuple[MarkResult, ...] = ()
    written: tuple[dict[str, Any], ...] = ()
    unread: bool = False


Model = Callable[[str], Mapping[str, float]]
"""The model's probability of each label on a study of the library."""


@dataclass(frozen=True, slots=True)
class Findings:
    """The words of a session: names of findings, the vocabulary's codes in order, and which of them is normal."""

    names: Mapping[str, str]
    codes: tuple[str, ...]
    normal: str | None

    def named(self, codes: Sequence[str] | frozenset[str]) -> tuple[str, ...]:
        ordered = sorted(codes) if isinstance(codes, frozenset) else codes
        return tuple(self.names.get(code, code) for code in ordered)


class TaskSession:
    """One student at one task of one set; what a class is shown (``link_id``) passes ``deidentification.handout``."""

    def __init__(
        self,
        library: Library,
        known: TeachingSet,
        task: Task,
        student: str,
        findings: Findings,
        *,
        link_id: str = "",
        model: Model | None = None,
    ) -> None:
        self._library, self._task, self._student = library, task, student
        self._findings, self._link_id, self._model = findings, link_id, model
        known = handout_set(known) if link_id else known
        self.set = with_partners(library, known, findings.normal) if task == "pairs" else known
        self._summaries = library.summaries({each for case in self.set.cases for each in (case.study_id, case.partner)})
        if link_id:
            self._summaries = {each: handout_summary(summary) for each, summary in self._summaries.items()}
        self._cases = {self._key(case): case for case in self.set.cases if self._is_askable(case)}

    # -- asking

    def next(self) -> TaskQuestion | None:
        """The next question; None when everything was answered right.

        Raises:
            LibraryError: ``library_empty`` where the set has nothing for this task.
        """
        if not self._cases:
            raise LibraryError("library_empty", _NOTHING[self._task], "Open the set and add some.")
        given = self._answers()
        new = sorted(key for key in self._cases if key not in given)
        missed = [key for key, answers in given.items() if key in self._cases and not answers[-1].right]
        missed.sort(key=lambda key: given[key][-1].at)
        if not (waiting := new or missed):
            return None
        key = waiting[0]
        done = sum(key in self._cases for key in given)
        return self._question(key, min(done + (key not in given), len(self._cases)), len(given.get(key, ())))

    def film(self, question_id: str, row: int) -> bytes:
        """A film of a question as PNG, without metadata; of a pair, row 0 is film A.

        Raises:
            InputError: ``not_found``.
        """
        study_id, at = self._film_at(self._case(question_id), question_id, row)
        return self._png(self._library.get(study_id), at)

    def look_alike_film(self, question_id: str, number: int, row: int) -> bytes:
        """A film of a look-alike; only once the question was answered."""
        case = self._case(question_id)
        if question_id not in self._answers():
            raise InputError("not_found", "that is shown with the answer.")
        alike = self.look_alikes(case)
        if not 0 <= number < len(alike):
            raise InputError("not_found", "there is no such look-alike.")
        record = self._library.get(alike[number])
        rows = film_rows([film.view for film in record.radiographs])
        if not 0 <= row < len(rows):
            raise InputError("not_found", "it has no such film.")
        return self._png(record, rows[row])

    def _png(self, record: StudyRecord, row: int) -> bytes:
        film = record.radiographs[row]
        return handout_film(record.study_id, film) if self._link_id else film.png

    # -- answering

    def answer(self, question_id: str, given: GivenAnswer, attempt: int) -> Reveal:
        """Judge an answer and store it.

        Raises:
            InputError: ``not_found`` for another question; ``bad_request`` for an answer of another kind, or one that
                was given already.
        """
        case = self._case(question_id)
        if not 0 <= given.confidence <= 100:
            raise InputError("bad_request", "confidence is a number of percent, 0 to 100.")
        if attempt != len(self._answers().get(question_id, ())):
            raise InputError("bad_request", "That question was answered already.", "Take the next one.")
        record = self._library.get(case.study_id)
        record = handout_record(record, films=False) if self._link_id else record
        judge = {"quiz": self._quiz, "pairs": self._pair, "marking": self._marks, "writing": self._writing}[self._task]
        outcome = judge(case, question_id, record, given)
        said = self._model(case.study_id) if self._model is not None else {}
        self._store(case, given, outcome, {code: said[code] for code in self._choices if code in said})
        return self._reveal(case, record, outcome, said)

    def _quiz(self, case: TeachingCase, key: str, record: StudyRecord, given: GivenAnswer) -> _Outcome:
        choices = set(self._choices)
        if unknown := sorted(set(given.chosen) - choices):
            raise InputError("bad_request", f"{unknown[0]} is none of the choices.")
        shows = case_findings(case, record, self._findings.normal) & choices
        missed, invented = shows - set(given.chosen), frozenset(given.chosen) - shows
        return _Outcome(not missed and not invented, shows, missed, invented)

    def _pair(self, case: TeachingCase, key: str, record: StudyRecord, given: GivenAnswer) -> _Outcome:
        if given.side not in ("A", "B"):
            raise InputError("bad_request", "the answer to a pair is A or B.")
        asked = frozenset([self._asked(case, key)])
        right = (given.side == "A") == _first(key)
        return _Outcome(right, asked, frozenset() if right else asked)

    def _marks(self, case: TeachingCase, key: str, record: StudyRecord, given: GivenAnswer) -> _Outcome:
        if not given.drawings:
            raise InputError("bad_request", "nothing was drawn.", "Draw a box, or set a point.")
        rows = film_rows([film.view for film in record.radiographs])
        if any(each.film >= len(rows) for each in given.drawings):
            raise InputError("bad_request", "a mark lies on a film that is not there.")
        drawn = [Drawing(each.shape, rows[each.film], each.points, each.text) for each in given.drawings]
        results = judge_marks(drawn, _targets(case, record), [FilmScale.of(film) for film in record.radiographs])
        shows = case_findings(case, record, self._findings.normal)
        right = all(result.hit for result in results)
        return _Outcome(right, shows, frozenset() if right else shows, marks=results)

    def _writing(self, case: TeachingCase, key: str, record: StudyRecord, given: GivenAnswer) -> _Outcome:
        if not given.text.strip() or len(given.text) > WORDS:
            raise InputError("bad_request", f"an impression has 1 to {WORDS} characters.")
        assert record.report is not None
        written = _impression(given.text)
        marks = mark_impression(written, record.report)
        by_status = {
            status: frozenset(mark.finding for mark in marks if mark.status == status)
            for status in ("found", "missed", "invented", "wrong_side", "hedged_otherwise")
        }
        missed = by_status["missed"] | by_status["wrong_side"]
        return _Outcome(
            right=not missed and not by_status["invented"],
            answer=frozenset(mark.finding for mark in marks if mark.status != "invented"),
            missed=missed,
            invented=by_status["invented"],
            written=tuple(mark.to_json(self._findings.names) for mark in marks),
            unread=unread(written),
        )

    def _store(self, case: TeachingCase, given: GivenAnswer, outcome: _Outcome, model: Mapping[str, float]) -> None:
        codes = {name: sorted(getattr(outcome, name)) for name in ("answer", "missed", "invented")}
        measured = [{"hit": r.hit, "overlap": r.overlap, "distance": r.distance, "unit": r.unit} for r in outcome.marks]
        statuses = {mark["finding"]: mark["status"] for mark in outcome.written}
        body = {"confidence": given.confidence, **codes, "marks": measured, "written": statuses, "model": dict(model)}
        stored = TaskAnswer(
            answer_id=secrets.token_hex(16), set_id=self.set.set_id, link_id=self._link_id, student=self._student,
            task=self._task, study_id=case.study_id, at=time.time(), right=outcome.right, body=body,
        )  # fmt: skip
        review = None
        if not self._link_id:
            before = self._library.teaching.reviews(self._student).get(case.study_id)
            review = repetition.reviewed(
                self._student, case.study_id, before, right=outcome.right, confidence=given.confidence
            )
        self._library.teaching.add_answer(stored, review)

    def _reveal(self, case: TeachingCase, record: StudyRecord, outcome: _Outcome, said: Mapping[str, float]) -> Reveal:
        named = self._findings.named
        rows = film_rows([film.view for film in record.radiographs])
        alike = self.look_alikes(case)
        known = self._library.summaries(alike)
        shown = tuple(
            Drawing(each.shape, rows.index(each.film), each.points, each.text)
            for each in case.drawings
            if each.film in rows
        )
        return Reveal(
            right=outcome.right, answer=named(outcome.answer), missed=named(outcome.missed),
            invented=named(outcome.invented), study_id="" if self._link_id else record.study_id,
            labels=named(case_findings(case, record, self._findings.normal)) or ("Normal",),
            report=record.report.text if record.report else "", key_point=case.key_point, drawings=shown,
            alike=tuple(LookAlike(len(film_rows([image.view for image in known[each].images])),
                                  named(tuple(known[each].labels))) for each in alike),
            marks=outcome.marks, written=outcome.written, unread=outcome.unread,
            model={self._findings.names.get(code, code): round(said[code], 4)
                   for code in self._choices if code in said} or None,
        )  # fmt: skip

    # -- what a question is made of

    @property
    def _choices(self) -> tuple[str, ...]:
        return choices_of(self.set, self._library, self._findings.codes, self._findings.normal)

    def _question(self, key: str, number: int, attempt: int) -> TaskQuestion:
        case = self._cases[key]
        summary = self._summaries[case.study_id]
        choices: dict[str, str] = {}
        question = case.question or self.set.question
        films = len(film_rows([image.view for image in summary.images]))
        if self._task == "quiz":
            choices = {code: self._findings.names.get(code, code) for code in self._choices}
        elif self._task == "pairs":
            asked = self._asked(case, key)
            choices, films = {asked: self._findings.names.get(asked, asked)}, 2
            question = f"Which of these two shows it: {choices[asked].lower()}?"
        elif self._task == "marking":
            question = case.question or "Where is it? Draw a box round it, or set a point."
        else:
            question = case.question or "Write the impression."
        return TaskQuestion(
            task=self._task, title=self.set.title, question_id=key, number=number, of=len(self._cases),
            attempt=attempt, question=question, hint=case.hint, films=films, choices=choices,
            history="" if self._task == "pairs" else history(summary),
        )  # fmt: skip

    def look_alikes(self, case: TeachingCase) -> list[str]:
        """The nearest studies that look like a case and show nothing that it shows."""
        shows = case_findings(case, self._summaries[case.study_id], self._findings.normal)
        return near_without(self._library, case.study_id, shows, self._findings.normal)[:LOOK_ALIKES]

    def _asked(self, case: TeachingCase, key: str) -> str:
        shows = _differing(self._summaries, case, self._findings.normal)
        wanted = sorted(shows & set(self._choices)) or sorted(shows)
        return wanted[int(key, 16) // 2 % len(wanted)]

    def _film_at(self, case: TeachingCase, key: str, row: int) -> tuple[str, int]:
        """Study and position in it of a question's film."""
        if self._task == "pairs" and row in (0, 1):
            study_id = case.study_id if _first(key) == (row == 0) else case.partner
            return study_id, film_rows([image.view for image in self._summaries[study_id].images])[0]
        rows = film_rows([image.view for image in self._summaries[case.study_id].images])
        if self._task == "pairs" or not 0 <= row < len(rows):
            raise InputError("not_found", "the question has no such film.")
        return case.study_id, rows[row]

    def _case(self, question_id: str) -> TeachingCase:
        if (case := self._cases.get(question_id)) is None:
            raise InputError("not_found", "there is no such question.", "Take the next one.")
        return case

    def _answers(self) -> dict[str, list[TaskAnswer]]:
        """This student's answers to this task so far, by question."""
        keys = {case.study_id: key for key, case in self._cases.items()}
        found: dict[str, list[TaskAnswer]] = {}
        for each in self._library.teaching.answers(set_id=self.set.set_id, student=self._student):
            if each.task == self._task and each.link_id == self._link_id and each.study_id in keys:
                found.setdefault(keys[each.study_id], []).append(each)
        return found

    def _is_askable(self, case: TeachingCase) -> bool:
        known = self._summaries.get(case.study_id)
        if known is None or not known.images:
            return False
        if self._task == "pairs":
            partner = self._summaries.get(case.partner)
            differ = _differing(self._summaries, case, self._findings.normal)
            return partner is not None and bool(partner.images) and bool(differ)
        if self._task == "marking":
            return any(each.film < len(known.images) for each in case.drawings)
        return self._task == "quiz" or (known.report is not None and not known.report.is_empty)

    def _key(self, case: TeachingCase) -> str:
        """A name for a question: another for each student, and the order in which they come."""
        about = "\0".join(("question", self.set.set_id, self._task, self._link_id, self._student, case.study_id))
        return hmac.new(self._library.secret, about.encode(), hashlib.sha256).hexdigest()[:16]


_NOTHING: Mapping[Task, str] = {
    "quiz": "The set has no study with a film.",
    "pairs": "The set has no study with a finding and a look-alike without it.",
    "marking": "Nothing is drawn on the films of the set.",
    "writing": "The set has no study with a film and a report.",
}


def history(known: Summary) -> str:
    """Age, and why the film was taken; words that name a finding are blanked, whatever they say of it."""
    told = [] if known.age is None else [f"{known.age} years old." if known.age < OLDEST else "90 or older."]
    report = known.report
    if report is not None:
        text = list(report.text)
        for each in read_assertions(report):
            text[each.start : each.end] = [BLANK] + [""] * (each.end - each.start - 1)
        told += ["".join(text[part.start : part.end]) for part in report.sections if part.name == "indication"]
    return " ".join(part.strip() for part in told if part.strip())


def film_rows(views: Sequence[str]) -> list[int]:
    """Positions of a study's films as they are shown: laterals last."""
    return sorted(range(len(views)), key=lambda row: views[row] == "lateral")


def with_partners(library: Library, known: TeachingSet, normal: str | None) -> TeachingSet:
    """The set with a look-alike for every case that shows a finding and has none named by its teacher."""
    summaries = library.summaries(known.ids)
    cases, taken = [], {each.partner for each in known.cases if each.partner}
    for case in known.cases:
        if not case.partner and case.study_id in summaries:
            shows = case_findings(case, summaries[case.study_id], normal)
            near = near_without(library, case.study_id, shows, normal) if shows else []
            case = replace(case, partner=next((each for each in near if each not in taken), ""))
            taken.add(case.partner)
        cases.append(case)
    return replace(known, cases=tuple(cases))


def near_without(library: Library, study_id: str, shows: frozenset[str], normal: str | None) -> list[str]:
    """The nearest studies by film, nearest first, that are coded and show none of these findings."""
    near = library.nearest_to(study_id, mode="image", k=NEAREST)
    known = library.summaries([other for other, _ in near])
    alike = shows or frozenset([normal or ""])  # of a normal film, those that show something
    return [
        other
        for other, _ in near
        if known[other].images and known[other].labels and not alike.intersection(known[other].labels)
    ]


def _differing(summaries: Mapping[str, Summary], case: TeachingCase, normal: str | None) -> frozenset[str]:
    """What a case shows and its partner does not."""
    if case.partner not in summaries:
        return frozenset()
    shown = case_findings(case, summaries[case.study_id], normal)
    return shown - shown_findings(summaries[case.partner], normal)


def _targets(case: TeachingCase, record: StudyRecord) -> list[Drawing]:
    return [each for each in case.drawings if each.film < len(record.radiographs)]


def _impression(text: str) -> Report:
    """What a student wrote, as findings or impression throughout: there is nothing else in it."""
    report, _ = parse_report(text)
    read = report.only("findings", "impression")
    return read if read.sections else Report(text, (Section("impression", 0, len(text)),))


def _first(key: str) -> bool:
    """Whether the case itself is film A of its pair."""
    return int(key, 16) % 2 == 0
