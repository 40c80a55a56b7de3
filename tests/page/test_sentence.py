"""The sentence and its figures in words, against values written by hand."""

from __future__ import annotations

import pytest

from lingula.page.sentence import in_ten, operating_words, sentence
from lingula.study import Prediction, Report


def said(*rows: tuple[str, str, float, str], report: str = "") -> list[str]:
    predictions = [Prediction(code, name, p, 0.5, decision) for code, name, p, decision in rows]  # type: ignore[arg-type]
    return list(map(str, sentence(predictions, Report.from_sections(findings=report) if report else None)))


def test_the_sentence_groups_what_is_likely_unsure_and_cannot_be_judged() -> None:
    rows = [
        ("normal", "Normal", 0.9, "present"),
        ("atelectasis", "Atelectasis", 0.6, "present"),
        ("pleural_effusion", "Pleural effusion", 0.8, "present"),
        ("airspace_disease", "Airspace disease", 0.4, "abstain"),
        ("pneumothorax", "Pneumothorax", 0.1, "cannot_judge"),
        ("hernia", "Hiatal hernia", 0.1, "absent"),
    ]
    assert said(*rows, report="Small right pleural effusion.") == [
        "Likely: pleural effusion (right), atelectasis.",
        "Unsure: airspace disease.",
        "Cannot judge from a film: pneumothorax.",
    ]


def test_normal_is_a_sentence_of_its_own_and_never_a_finding() -> None:
    assert said(("normal", "Normal", 0.9, "present"), ("hernia", "Hiatal hernia", 0.1, "absent")) == [
        "Nothing stands out."
    ]
    assert said() == []


def test_long_lists_are_counted() -> None:
    rows = [(f"x{n}", f"Finding {n}", 0.9 - n / 100, "present") for n in range(7)]
    assert said(*rows) == ["Likely: finding 0, finding 1, finding 2, finding 3 and 3 others."]
    assert said(*rows[:5]) == ["Likely: finding 0, finding 1, finding 2, finding 3, finding 4."]


@pytest.mark.parametrize(
    ("share", "words"), [(0.8, "8 of 10"), (0.04, "nearly none"), (0.96, "nearly all"), (0.55, "6 of 10")]
)
def test_shares_are_counts_of_ten(share: float, words: str) -> None:
    assert in_ten(share) == words


def test_what_cannot_be_told_is_not_said() -> None:
    assert operating_words("Hernia", None, 0.9) == ""
    assert "finds 8 of 10 studies with hernia and leaves alone 6 of 10" in operating_words("Hernia", 0.8, 0.6)


def test_nothing_stands_out_only_of_what_can_be_judged() -> None:
    rows = [("hernia", "Hiatal hernia", 0.1, "absent"), ("pneumothorax", "Pneumothorax", 0.1, "cannot_judge")]
    assert said(*rows)[0] == "Nothing that can be judged stands out."
