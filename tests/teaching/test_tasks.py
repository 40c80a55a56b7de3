"""Quiz, pairs, marks and writing on a library whose answers are known; nothing tells an answer before it is given."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from PIL import Image
from tests.teaching.conftest import FINDINGS, NAMES, STUDIES

from lingula.errors import InputError, LibraryError
from lingula.library import Library
from lingula.teaching.anki import set_cards, write_apkg
from lingula.teaching.results import propose_next, results_of
from lingula.teaching.sets import Drawing, TeachingSet, change_set, new_set
from lingula.teaching.slides import HEIGHT, WIDTH, set_slides, slides_pdf
from lingula.teaching.tasks import BLANK, GivenAnswer, Task, TaskSession

IDS = ("CXR1", "CXR2", "CXR5")
LABELS = {study: frozenset(labels) for study, (labels, _, _) in STUDIES.items()}


@pytest.fixture
def known(library: Library) -> TeachingSet:
    made = new_set(library, "Ten films", owner="Ann", study_ids=IDS)
    box = Drawing("box", 0, ((0.5, 0.5), (0.9, 0.9)))
    return change_set(library, replace(made, cases=tuple(replace(case, drawings=(box,)) for case in made.cases)))


def session(library: Library, known: TeachingSet, task: Task, student: str = "Bo", link: str = "") -> TaskSession:
    return TaskSession(library, known, task, student, FINDINGS, link_id=link, model=lambda study: {"nodule_mass": 0.8})


def test_a_quiz_asks_everything_and_what_was_missed_after_the_others(library: Library, known: TeachingSet) -> None:
    quiz = session(library, known, "quiz")
    asked: list[str] = []
    while question := session(library, known, "quiz").next():
        case = quiz._cases[question.question_id]
        right = GivenAnswer(80, tuple(LABELS[case.study_id] & set(question.choices)))
        wrong = GivenAnswer(90, ("atelectasis",) if "atelectasis" in question.choices else ("granuloma",))
        reveal = quiz.answer(question.question_id, wrong if not asked else right, question.attempt)
        assert reveal.right == bool(asked)
        assert reveal.study_id == case.study_id
        asked.append(case.study_id)
    assert sorted(asked[:3]) == sorted(IDS)
    assert asked[3:] == asked[:1]  # the first, missed, comes back at the end


def test_nothing_before_an_answer_tells_it(library: Library, known: TeachingSet) -> None:
    """Over tasks and students: no id, label or sentence of any study; a pair names only what is asked for."""
    for task in ("quiz", "pairs", "marking", "writing"):
        for student in ("Bo", "Cy"):
            one = session(library, known, task, student)
            question = one.next()
            assert question
            told = json.dumps({**asdict(question), "choices": {}}) if task == "quiz" else json.dumps(asdict(question))
            assert not re.search(r"CXR\d", told)
            for study, (labels, impression, _) in STUDIES.items():
                assert impression not in told, study
                assert task == "pairs" or not any(re.search(each, told, re.I) for each in (*labels, "nodule"))
            assert task == "pairs" or BLANK in question.history
            assert "Cough" in question.history or task == "pairs"
            for row in range(question.films):
                with Image.open(io.BytesIO(one.film(question.question_id, row))) as picture:
                    assert set(picture.info) <= {"transparency"}
            with pytest.raises(InputError):
                one.look_alike_film(question.question_id, 0, 0)
    keys = {student: sorted(session(library, known, "quiz", student)._cases) for student in ("Bo", "Cy")}
    assert not set(keys["Bo"]) & set(keys["Cy"])


def test_a_pair_by_hand(library: Library, known: TeachingSet) -> None:
    """The film with the finding is A for the key's parity; both films are of studies that differ in it."""
    pairs = session(library, known, "pairs")
    sides = set()
    while question := session(library, known, "pairs").next():
        pairs = session(library, known, "pairs")
        (finding,) = question.choices
        shades = [library_shade(pairs.film(question.question_id, row)) for row in (0, 1)]
        shows = [finding in LABELS[f"CXR{shade}"] for shade in shades]
        assert sorted(shows) == [False, True]
        side = "AB"[shows.index(True)]
        sides.add(side)
        assert pairs.answer(question.question_id, GivenAnswer(100, side=side), question.attempt).right
    assert {each.partner for each in pairs.set.cases} - {""}
    key = next(iter(pairs._cases))
    with pytest.raises(InputError, match="A or B"):
        pairs.answer(key, GivenAnswer(), 1)


def library_shade(png: bytes) -> int:
    with Image.open(io.BytesIO(png)) as picture:
        return round(float(picture.getpixel((5, 5))) / 25.5)  # type: ignore[arg-type]


def test_a_mark_is_measured_on_the_film(library: Library, known: TeachingSet) -> None:
    marking = session(library, known, "marking")
    question = marking.next()
    assert question
    with pytest.raises(InputError, match="nothing was drawn"):
        marking.answer(question.question_id, GivenAnswer(), 0)
    drawn = GivenAnswer(70, drawings=(Drawing("box", 0, ((0.5, 0.5), (0.9, 0.9))),))
    reveal = marking.answer(question.question_id, drawn, 0)
    (result,) = reveal.marks
    assert (result.hit, result.overlap, result.distance, result.unit) == (True, 1.0, 0.0, "mm")
    with pytest.raises(InputError, match="answered already"):
        marking.answer(question.question_id, drawn, 0)


def test_an_impression_is_marked(library: Library, known: TeachingSet) -> None:
    writing = session(library, known, "writing")
    key = next(key for key, case in writing._cases.items() if case.study_id == "CXR1")
    reveal = writing.answer(key, GivenAnswer(60, text="Right effusion."), 0)
    (mark,) = reveal.written
    assert (mark["status"], mark["written"][0]["text"]) == ("wrong_side", "Right effusion.")
    assert mark["reported"][0]["text"] == "Small left pleural effusion."
    assert not reveal.right


def test_results_by_hand(library: Library, known: TeachingSet) -> None:
    for student, hits in (("Bo", {"CXR1", "CXR2", "CXR5"}), ("Cy", {"CXR2"})):
        quiz = session(library, known, "quiz", student, link="a class")
        for key, case in quiz._cases.items():
            shown = tuple(LABELS[case.study_id]) if case.study_id in hits else ()
            quiz.answer(key, GivenAnswer(80 if student == "Bo" else 100, shown), 0)
            quiz.answer(key, GivenAnswer(0, ()), 1)  # later answers do not count
    results = results_of(library, known, FINDINGS)
    bo, cy = results.students
    assert (bo.right, bo.answered, bo.brier) == (3, 3, pytest.approx(0.04))
    assert (cy.right, cy.answered, cy.brier) == (1, 3, pytest.approx(2 / 3, abs=1e-4))
    assert [(step.low, step.claims, step.right) for step in cy.calibration] == [(95, 3, pytest.approx(1 / 3, abs=1e-4))]
    assert {film.study_id: film.right for film in results.films} == {"CXR1": 1, "CXR2": 2, "CXR5": 1}
    assert set(results.hardest) == {"CXR1", "CXR5"}
    effusion = next(each for each in results.findings if each.finding == "pleural_effusion")
    assert (effusion.shown, effusion.found, effusion.missed, effusion.invented) == (4, 2, 2, 0)
    (model,) = results.model  # 0.8 for nodule on three films: right where there is one
    assert (model.claims, model.right) == (3, pytest.approx(1 / 3, abs=1e-4))
    assert library.teaching.reviews("Bo") == {}  # of a class, nothing is due
    proposed = propose_next(library, known, FINDINGS)
    assert proposed
    assert not set(proposed) & set(IDS)


def test_slides_and_cards_carry_credit_and_whole_films(library: Library, known: TeachingSet, tmp_path: Path) -> None:
    slides = set_slides(library, known, FINDINGS)
    assert [slide.size for slide in slides] == [(WIDTH, HEIGHT)] * 6
    pdf = slides_pdf(slides)
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 6
    pytest.importorskip("genanki", reason="needs the extra anki")
    assert write_apkg(tmp_path / "set.apkg", "Ten films", set_cards(library, known, FINDINGS)) == 3
    with zipfile.ZipFile(tmp_path / "set.apkg") as package:
        media = json.loads(package.read("media"))
        assert all(re.fullmatch(r"film-[0-9a-f]{16}\.png", name) for name in media.values())
        assert len(media) == 6  # each film plain, and with the teacher's mark
        notes = package.read("collection.anki2")
    for words in (b"CC BY-NC-ND", b"Pleural effusion", b"Not for diagnostic use"):
        assert words in notes
    with pytest.raises(InputError):
        write_apkg(tmp_path / "none.apkg", "None", ())


def test_a_set_without_anything_to_ask_says_so(library: Library) -> None:
    plain = new_set(library, "Plain", owner="", study_ids=["CXR3"])
    for task, words in (("marking", "Nothing is drawn"), ("pairs", "no study with a finding")):
        with pytest.raises(LibraryError, match=words):
            session(library, plain, task).next()  # type: ignore[arg-type]
    assert NAMES["normal"] == "Normal"
