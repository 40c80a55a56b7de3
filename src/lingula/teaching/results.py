"""How a set went: by student, by film and by finding; the hardest films; what to teach next."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lingula.library import Library
from lingula.library.teaching_records import TaskAnswer
from lingula.plain import DISCLAIMER
from lingula.teaching.sets import TeachingSet, case_findings, shown_findings
from lingula.teaching.tasks import NEAREST, Findings, near_without

HARDEST = 5
PROPOSED = 10
CONFIDENCES = ((0, 59), (60, 79), (80, 94), (95, 100))
"""Percent, both ends counted: guessed, unsure, sure, certain."""


@dataclass(frozen=True, slots=True)
class CalibrationStep:
    """Of claims held with this confidence: how many, the mean confidence, and the share that was right."""

    low: int
    high: int
    claims: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True)
class StudentResult:
    """How one student did: each study counted as it was answered first.

    Attributes:
        answered, right: studies. brier: mean squared difference between confidence and outcome, 0 best, 1 worst.
    """

    student: str
    answered: int
    right: int
    confidence: float
    brier: float
    calibration: tuple[CalibrationStep, ...]


@dataclass(frozen=True, slots=True)
class FilmResult:
    """How one study was answered, first answers only; missed and invented: names of findings with counts."""

    study_id: str
    answered: int
    right: int
    confidence: float
    missed: Mapping[str, int]
    invented: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FindingResult:
    """How often a finding was there to find, was found, was missed, and was named where it was not."""

    finding: str
    name: str
    shown: int
    found: int
    missed: int
    invented: int


@dataclass(frozen=True, slots=True)
class TeachingResults:
    """How a set went.

    Attributes:
        hardest: ids of the films most often answered wrong, at most five, none that everybody had right.
        model: how far the model's own probabilities of the same findings on the same films were right; most films of a
            library were among those it was trained on, which flatters it.
    """

    set_id: str
    title: str
    answers: int
    students: tuple[StudentResult, ...]
    films: tuple[FilmResult, ...]
    findings: tuple[FindingResult, ...]
    hardest: tuple[str, ...]
    model: tuple[CalibrationStep, ...]
    disclaimer: str = DISCLAIMER


def results_of(library: Library, known: TeachingSet, findings: Findings) -> TeachingResults:
    """Results of all tasks of a set."""
    given = first_answers(library.teaching.answers(set_id=known.set_id))
    by_student, by_film = _grouped(given, "student"), _grouped(given, "study_id")
    films = tuple(_film(study_id, by_film[study_id], findings) for study_id in known.ids if study_id in by_film)
    wrong = [film for film in films if film.right < film.answered]
    wrong.sort(key=lambda film: (film.right / film.answered, -film.answered, film.study_id))
    return TeachingResults(
        set_id=known.set_id, title=known.title, answers=len(given),
        students=tuple(student_result(name, by_student[name]) for name in sorted(by_student)),
        films=films, findings=by_finding(given, findings), hardest=tuple(film.study_id for film in wrong[:HARDEST]),
        model=model_calibration(given),
    )  # fmt: skip


def first_answers(answers: Sequence[TaskAnswer]) -> list[TaskAnswer]:
    """The first answer of each student of each class to each task on each study: later ones know the answer."""
    first: dict[tuple[str, ...], TaskAnswer] = {}
    for each in answers:
        first.setdefault((each.set_id, each.link_id, each.student, each.task, each.study_id), each)
    return list(first.values())


def student_result(student: str, answers: Sequence[TaskAnswer]) -> StudentResult:
    """One student's figures from first answers, at least one."""
    claims = [(_confidence(each), each.right) for each in answers]
    return StudentResult(
        student=student, answered=len(claims), right=sum(right for _, right in claims),
        confidence=_mean([confidence for confidence, _ in claims]),
        brier=_mean([(confidence / 100 - right) ** 2 for confidence, right in claims]),
        calibration=calibration_of(answers),
    )  # fmt: skip


def calibration_of(answers: Sequence[TaskAnswer]) -> tuple[CalibrationStep, ...]:
    """How sure answers were, and how often right."""
    return calibration([(_confidence(each), each.right) for each in answers])


def calibration(claims: Sequence[tuple[float, bool]]) -> tuple[CalibrationStep, ...]:
    """Claims (confidence in percent, right) by steps of confidence; empty steps left out."""
    steps = []
    for low, high in CONFIDENCES:
        some = [(confidence, right) for confidence, right in claims if low <= round(confidence) <= high]
        if some:
            mean = _mean([confidence for confidence, _ in some])
            steps.append(CalibrationStep(low, high, len(some), mean, _mean([right for _, right in some])))
    return tuple(steps)


def model_calibration(answers: Sequence[TaskAnswer]) -> tuple[CalibrationStep, ...]:
    """The model's claims on the studies answered, each study once: present above one half, absent below."""
    claims: dict[tuple[str, str], tuple[float, bool]] = {}
    for each in answers:
        for code, probability in each.body.get("model", {}).items():
            is_there = code in each.body.get("answer", ())
            confidence = 100 * max(probability, 1 - probability)
            claims[each.study_id, code] = confidence, (probability >= 0.5) == is_there
    return calibration(list(claims.values()))


def by_finding(answers: Sequence[TaskAnswer], findings: Findings) -> tuple[FindingResult, ...]:
    """Answers by finding, the most often missed first."""
    shown, missed, invented = Counter[str](), Counter[str](), Counter[str]()
    for each in answers:
        shown.update(each.body.get("answer", ()))
        missed.update(each.body.get("missed", ()))
        invented.update(each.body.get("invented", ()))
    return tuple(
        FindingResult(
            finding=code, name=findings.names.get(code, code), shown=shown[code], found=shown[code] - missed[code],
            missed=missed[code], invented=invented[code],
        )
        for code in sorted({*shown, *invented}, key=lambda code: (-missed[code], -invented[code], code))
    )  # fmt: skip


def propose_next(library: Library, known: TeachingSet, findings: Findings) -> tuple[str, ...]:
    """Studies for a next set: for each of the films answered worst, the nearest others with a finding that was missed
    there, and the nearest without; none that the set has, at most ten. Empty where nothing was answered."""
    answers = first_answers(library.teaching.answers(set_id=known.set_id))
    by_film = _grouped(answers, "study_id")
    order = sorted(
        by_film, key=lambda s: (_mean([a.right for a in by_film[s]]), _mean(list(map(_confidence, by_film[s]))), s)
    )
    cases = {case.study_id: case for case in known.cases}
    chosen: list[str] = []
    for study_id in (each for each in order if each in cases):
        missed = {code for each in by_film[study_id] for code in each.body.get("missed", ())}
        summaries = library.summaries([study_id])
        if study_id not in summaries:
            continue
        shows = case_findings(cases[study_id], summaries[study_id], findings.normal)
        alike = _near_with(library, study_id, frozenset(missed) & shows or shows, findings.normal)
        without = near_without(library, study_id, shows, findings.normal)
        new = [[each for each in some if each not in known.ids and each not in chosen] for some in (alike, without)]
        chosen += list(dict.fromkeys([*new[0][:2], *new[1][:1]]))
        if len(chosen) >= PROPOSED:
            break
    return tuple(chosen[:PROPOSED])


def _near_with(library: Library, study_id: str, wanted: frozenset[str], normal: str | None) -> list[str]:
    """The nearest studies by film that show one of these findings."""
    near = library.nearest_to(study_id, mode="image", k=5 * NEAREST) if wanted else ()
    known = library.summaries([other for other, _ in near])
    return [other for other, _ in near if known[other].images and shown_findings(known[other], normal) & wanted]


def _film(study_id: str, answers: Sequence[TaskAnswer], findings: Findings) -> FilmResult:
    def counted(what: str) -> dict[str, int]:
        counts = Counter(code for each in answers for code in each.body.get(what, ()))
        return {findings.names.get(code, code): count for code, count in counts.most_common()}

    return FilmResult(
        study_id=study_id, answered=len(answers), right=sum(each.right for each in answers),
        confidence=_mean([_confidence(each) for each in answers]), missed=counted("missed"),
        invented=counted("invented"),
    )  # fmt: skip


def _grouped(answers: Sequence[TaskAnswer], key: str) -> dict[str, list[TaskAnswer]]:
    groups: dict[str, list[TaskAnswer]] = defaultdict(list)
    for each in answers:
        groups[getattr(each, key)].append(each)
    return dict(groups)


def _confidence(answer: TaskAnswer) -> float:
    return float(answer.body.get("confidence", 50))


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0
