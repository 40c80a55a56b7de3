"""What may be asked of the records, on either database, against reading every report by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lingula.errors import InputError
from lingula.labels.assertions import read_assertions
from lingula.library import Aged, AnyOf, Asserts, Coded, Condition, Entry, Labelled, Library, Not, Reported, Says, Shows
from lingula.study import Radiograph, Report, Study

REPORTS = {
    "a": "No pneumothorax. Small left pleural effusion.",
    "b": "Possible pneumothorax at the right apex. The heart is enlarged.",
    "c": "Large effusions have resolved. Lungs are clear.",
    "d": 'The patient said "it hurts"; AND OR NOT (odd words) % _ *.',
}


@pytest.fixture
def filled(library: Library) -> Library:
    film = np.zeros((8, 8), np.float32)
    for at, (study_id, text) in enumerate(REPORTS.items()):
        image = Radiograph(f"{study_id}1", film, "lateral" if at == 1 else "frontal",
                           birth_date=f"19{at + 3}00101" if at else "", study_date="20110202")  # fmt: skip
        labels = None if study_id == "d" else ("normal",) if at % 2 else ("pleural_effusion", "normal")
        library.add(Study(study_id, (image,), Report.from_sections(findings=text)), {}, labels)
    library.add(Study("e"), {}, ())
    return library


@pytest.mark.parametrize(("condition", "found"), [
    (Asserts("pneumothorax"), "ab"),
    (Asserts("pneumothorax", ("absent",)), "a"),
    (Asserts("effusion", ("present",), past=False), "a"),
    (Asserts("effusion", past=True), "c"),
    (Asserts("effusion", sides=("left", "bilateral")), "a"),
    (Asserts("pneumothorax", sections=("impression",)), ""),
    (Not(Asserts("pneumothorax", ("absent",))), "bcde"),
    (AnyOf((Asserts("pneumothorax", ("absent",)), Asserts("cardiomegaly"))), "ab"),
    (AnyOf(()), ""),
    (Says("pleural effusion"), "a"),
    (Says("EFFUSION"), "ac"),
    (Says("effusion pleural"), ""),
    (Says('said "it hurts"'), "d"),
    (Says("odd words) %"), "d"),
    (Not(Says("lungs")), "abde"),
    (Labelled("pleural_effusion"), "ac"),
    (Coded(), "abce"),
    (Reported(), "abcd"),
    (Asserts(places=("apex",)), "b"),
    (Asserts(polarities=("present",), sides=("left",)), "a"),
    (Not(Labelled("pleural_effusion")), "bde"),
    (Shows("lateral"), "b"),
    (Aged(oldest=61), "cd"),
    (Aged(youngest=70), "b"),
    (Aged(), "bcd"),
])  # fmt: skip
def test_each_condition(filled: Library, condition: Condition, found: str) -> None:
    assert filled.matching(condition) == set(found)


def test_conditions_are_met_together(filled: Library) -> None:
    assert filled.matching() == set("abcde")
    assert filled.matching(Asserts("effusion"), Not(Asserts("effusion", past=True)), Shows("frontal")) == {"a"}
    for nothing in ("", ' "* '):
        with pytest.raises(InputError, match="no word"):
            filled.matching(Says(nothing))


def test_assertions_are_those_of_the_report(filled: Library) -> None:
    said = filled.assertions([*REPORTS, "e"])
    for study_id, text in REPORTS.items():
        assert said[study_id] == read_assertions(Report.from_sections(findings=text))
    assert said["e"] == ()
    assert filled.status().mentioned["effusion"] == 2


def test_summaries_carry_what_an_answer_shows(filled: Library, specimen: Callable[[int], Entry]) -> None:
    filled.add(specimen(1).study, specimen(1).embeddings, ("normal",))
    shown = filled.summaries(["S1", "a", "nobody"])
    assert set(shown) == {"S1", "a"}
    one, record = shown["S1"], filled.get("S1")
    assert (one.report, one.labels, one.age, one.birth_key) == (record.report, ("normal",), 49, record.birth_key)
    assert [(image.image_id, image.view, image.digest) for image in one.images] == [
        (image.image_id, image.view, image.digest) for image in record.radiographs
    ]


def test_answers_are_remembered_until_a_write(filled: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asserts("pneumothorax", ("absent",))
    assert filled.matching(asked) == {"a"}
    with monkeypatch.context() as patch:
        patch.setattr(filled, "column", lambda *_: pytest.fail("asked again"))
        assert filled.matching(asked) == {"a"}
    filled.add(Study("f", (), Report.from_sections(findings="No pneumothorax.")), {}, None)
    assert filled.matching(asked) == {"a", "f"}


def test_reindexing_reads_reports_anew(filled: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    before = filled.assertions(REPORTS)
    assert any(before.values())
    assert filled.matching(Asserts("pneumothorax")) == {"a", "b"}
    with monkeypatch.context() as patch:
        patch.setattr("lingula.library.rows.read_assertions", lambda _: ())
        filled.reindex()
        assert not any(filled.assertions(REPORTS).values())
        assert filled.matching(Asserts("pneumothorax")) == set()  # what was remembered is forgotten
    steps: list[tuple[int, int]] = []
    filled.reindex(progress=lambda done, of: steps.append((done, of)))
    assert steps == [(5, 5)]
    assert filled.assertions(REPORTS) == before
    assert filled.matching(Labelled("pleural_effusion")) == {"a", "c"}
    assert filled.matching(Says("effusion")) == {"a", "c"}
    assert filled.verify() == ()
