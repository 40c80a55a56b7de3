"""A report's style changes nothing of what the model reads; its words keep their places."""

from __future__ import annotations

import pytest

from lingula.labels import read_assertions
from lingula.model.canonical import canonical
from lingula.study import Report

PROSE = "No pneumothorax. Small left pleural effusion. Mild cardiomegaly."


def written(text: str) -> str:
    report = Report.from_sections(findings=text)
    (part,) = report.sections
    made = canonical(report.text, part.start, part.end, read_assertions(report))
    assert all(part.start <= start < end <= part.end for start, end in zip(made.starts, made.ends, strict=True))
    return made.text.strip().lower()


@pytest.mark.parametrize(
    "text",
    [
        "No pneumothorax\nSmall left pleural effusion\nMild cardiomegaly",
        "No pneumothorax.\n\nSmall left pleural effusion.\n\nMild cardiomegaly.",
        "- No pneumothorax\n- Small left pleural effusion\n- Mild cardiomegaly",
        "1. No pneumothorax\n2. Small left pleural effusion\n3. Mild cardiomegaly",
        "\u2022 No pneumothorax \u2022 Small left pleural effusion \u2022 Mild cardiomegaly",
        "Pneumothorax: No\nPleural effusion: Small left\nCardiomegaly: Mild",
        "Pneumothorax\tNo\nPleural effusion\tSmall left\nCardiomegaly\tMild",
        "NO PNEUMOTHORAX\nSMALL LEFT PLEURAL EFFUSION\nMILD CARDIOMEGALY",
    ],
)
def test_styles_are_one_text(text: str) -> None:
    assert written(text) == PROSE.lower()


@pytest.mark.parametrize(
    ("text", "prose"),
    [
        (PROSE, PROSE),
        ("1. No acute disease. 2. Calcified granuloma; stable", "No acute disease. Calcified granuloma. stable."),
        ("Spurs along the spine (T8-T9)", "Spurs along the spine (T8-T9)."),
    ],
)
def test_a_section_is_sentences_without_list_marks(text: str, prose: str) -> None:
    assert written(text) == prose.lower()


def test_british_spelling_is_american_and_keeps_its_place() -> None:
    report = Report.from_sections(findings="Pulmonary oedema. Localised tumour.")
    (part,) = report.sections
    made = canonical(report.text, part.start, part.end, read_assertions(report))
    assert made.text.strip() == "Pulmonary edema. Localized tumor."
    start = made.text.index("edema")
    assert report.text[slice(*made.span(start, start + 5))] == "oedema"
