"""The writing task: each kind of mark by hand, both passages cited, a report against itself without fault."""

from __future__ import annotations

import pytest

from lingula.study import Report
from lingula.teaching.writing import mark_impression, unread

REPORTED = Report.from_sections(
    indication="Rule out pneumothorax.",
    findings="The heart is enlarged. There is a small left pleural effusion. No pneumothorax. "
    "Possible granuloma in the right upper lobe. Endotracheal tube is in place.",
    impression="Cardiomegaly and left effusion.",
)


def impression(text: str) -> Report:
    return Report.from_sections(impression=text)


def statuses(written: str, reported: Report = REPORTED) -> dict[str, str]:
    return {mark.finding: mark.status for mark in mark_impression(impression(written), reported)}


def test_a_report_against_itself_has_no_fault() -> None:
    marks = mark_impression(REPORTED, REPORTED)
    assert {mark.status for mark in marks} == {"found"}
    assert [mark.finding for mark in marks] == ["cardiomegaly", "pleural_effusion", "granuloma", "endotracheal_tube"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Cardiomegaly. Right effusion. Possible granuloma. Tube in place.", {"pleural_effusion": "wrong_side"}),
        ("Cardiomegaly. Bilateral effusions. Possible granuloma. Tube.", {"pleural_effusion": "wrong_side"}),
        ("Probable cardiomegaly. Effusion. Granuloma. Endotracheal tube.",
         {"cardiomegaly": "hedged_otherwise", "granuloma": "hedged_otherwise"}),
        ("Cardiomegaly. No effusion. No granuloma. Endotracheal tube.",
         {"pleural_effusion": "missed", "granuloma": "hedged_otherwise"}),
        ("Cardiomegaly, left effusion, endotracheal tube, right pneumothorax. Possible granuloma.",
         {"pneumothorax": "invented"}),
        ("Enlarged heart with left pleural effusion.",
         {"granuloma": "missed", "endotracheal_tube": "missed"}),
        ("No acute cardiopulmonary abnormality.",
         {"normal": "invented", "cardiomegaly": "missed", "pleural_effusion": "missed", "granuloma": "missed",
          "endotracheal_tube": "missed"}),
    ],
)  # fmt: skip
def test_each_kind_of_mark(written: str, expected: dict[str, str]) -> None:
    assert {finding: status for finding, status in statuses(written).items() if status != "found"} == expected


def test_a_normal_film() -> None:
    normal = Report.from_sections(findings="Heart size is normal. The lungs are clear.", impression="Normal chest.")
    for written in ("Normal chest.", "No acute cardiopulmonary disease.", "Lungs are clear, no effusion."):
        assert statuses(written, normal) == {"normal": "found"}, written
    assert statuses("Left effusion.", normal) == {"normal": "missed", "pleural_effusion": "invented"}
    assert unread(impression("I do not know this one."))
    assert statuses("I do not know this one.", normal) == {"normal": "missed"}


def test_both_passages_are_cited_as_they_stand() -> None:
    written = impression("Heart size is normal. Small right effusion.")
    marks = {mark.finding: mark for mark in mark_impression(written, REPORTED)}
    side = marks["pleural_effusion"]
    assert (side.written_sides, side.reported_sides) == (("right",), ("left",))
    assert [each.text for each in side.written] == ["Small right effusion."]
    assert [each.text for each in side.reported] == [
        "There is a small left pleural effusion.",
        "Cardiomegaly and left effusion.",
    ]
    for mark in marks.values():
        for text, passages in ((written.text, mark.written), (REPORTED.text, mark.reported)):
            assert all(text[each.start : each.end].strip() == each.text for each in passages)
    assert marks["cardiomegaly"].status == "missed"
    assert [each.text for each in marks["cardiomegaly"].written] == ["Heart size is normal."]
