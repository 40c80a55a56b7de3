"""Names, numbers and dates in the words of a report: what is masked, what is left, where sections stand afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingula.labels.identifiers import MASK, Names
from lingula.reading.report_text import parse_report
from lingula.study import Report

LEAKS = [
    ("Patient: Jane Doe. The heart is enlarged.", ["Jane", "Doe"]),
    ("Patient Name: Mary-Ann O'Brien\nFINDINGS: Clear.", ["Mary", "Brien"]),
    ("MRN: 12345678, DOB 03/04/1950.", ["12345678", "1950"]),
    ("Accession A-4711-X. NHS No: 943 476 5919.", ["4711", "943", "5919"]),
    ("Dr. Small was notified. DR. QUANDT AGREED.", ["Dr. Small", "QUANDT"]),
    ("Findings were discussed with Uhlenbrock at 3 pm.", ["Uhlenbrock"]),
    ("Electronically signed by: Quandt, Berta A., MD on 12 March 2019.", ["Quandt", "Berta", "12 March", "2019"]),
    ("Dictated by jane roe. Read by: J. Doe.", ["jane", "roe", "Doe"]),
    ("Compared with 03/04/2019, 2011-05-05, 3 February 2010 and 05/2018.", ["03/04", "05-05", "February", "05/2018"]),
    ("Call 555-123-4567 or +49 30 1234567, pager 8812, jane@clinic.example.", ["555", "1234567", "8812", "jane@"]),
    ("Lives at 12 Elm Street, IL 62704. SSN 123-45-6789.", ["Elm", "62704", "6789"]),
    ("A 93-year-old woman, seen on 3/14.", ["93", "3/14"]),
    ("Study 1.2.840.113619.2.55.3.604688119.971.", ["113619"]),
]  # fmt: skip
PLAIN = [
    "The heart is normal in size. No pneumothorax. Small left effusion at T8, 2.5 cm.",
    "Fractures of ribs 4-5-06 and of ribs 3, 4 and 5. Ratio 16.2/24.7, 15/32.",
    "Pain for 1-1/2 weeks. 8-1/2 months. A 67-year-old man.",
    "Patient: rotated to the left. Name of the line: PICC.",
    "MR Imaging is recommended. Findings were reviewed by comparison with prior films.",
    "Discussed with the emergency department. Dr. XXXX XXXX was notified at XXXX p.m.",
    "PA AND LATERAL CHEST. HEART SIZE IS NORMAL. DR CHEST. NO FOCAL CONSOLIDATION.",
    "May represent scarring; may 5 mm nodule. Decreased 12 mm. Margin 10 2 mm.",
    "Grade 1/2/3. Levels T10-11-12. 3.2.1 cm. Record low volumes. Case of effusion.",
]


@pytest.mark.parametrize(("text", "marks"), LEAKS)
def test_what_a_text_gives_away_by_its_form_is_masked(text: str, marks: list[str]) -> None:
    cleaned, count = Names(()).cleaned(text)
    assert [mark for mark in marks if mark in cleaned] == []
    assert count
    assert MASK in cleaned


@pytest.mark.parametrize("text", PLAIN)
def test_plain_words_of_reports_stay_as_they_are(text: str) -> None:
    assert Names(()).cleaned(text) == (text, 0)


def test_names_of_a_header_are_found_however_they_are_written() -> None:
    names = Names(["Müller-Roe^Jane", "P-17", "Princeton General", "100"])
    text = "jane has 100 mL; MUELLER-ROE, Jane; Muller; Roe; Müller. P-17 at Princeton. General appearance good."
    assert names.cleaned(text)[0] == (
        f"{MASK} has 100 mL; {MASK}; {MASK}; {MASK}; {MASK}. {MASK} at {MASK}. General appearance good."
    )


def test_a_name_that_is_a_word_of_reports_is_told_from_the_word() -> None:
    names = Names(["Small^Hill"])
    text = "Small effusion at the hill. The patient Small has a small effusion. Hill Small; Small, Hill."
    assert names.cleaned(text)[0] == (
        f"Small effusion at the hill. The patient {MASK} has a small effusion. {MASK}; {MASK}."
    )
    assert names.cleaned("CHEST OF SMALL", forms=False)[0] == f"CHEST OF {MASK}"  # not in a header


def test_sections_stand_where_their_words_are() -> None:
    text = "INDICATION: Jane Doe, 03/04/2019, cough. FINDINGS: Dr. House sees an effusion. IMPRESSION: Effusion, jane."
    report, _ = parse_report(text)
    cleaned, count = Names(["Doe^Jane"]).clean_report(report)
    assert count == 3
    assert cleaned.section("indication") == f"{MASK}, cough."
    assert cleaned.section("findings") == f"{MASK} sees an effusion."
    assert cleaned.section("impression") == f"Effusion, {MASK}."


@given(st.lists(st.sampled_from([*(text for text, _ in LEAKS), *PLAIN, "Doe", "jane", ",", ":", "\n"]), max_size=6))
def test_cleaning_again_changes_nothing_and_sections_stay_within(parts: list[str]) -> None:
    names = Names(["Doe^Jane", "Small^Hill"])
    text = " ".join(parts)
    cleaned, _ = names.cleaned(text)
    assert names.cleaned(cleaned) == (cleaned, 0)
    made = Report.from_sections(findings=text, impression="Clear.")
    assert names.clean_report(made)[0].section("impression") == "Clear."


def test_reports_without_names_are_hardly_changed(shared_data: Path) -> None:
    """The collection's reports have none: XXXX stands for them."""
    names, changed, count = Names(()), 0, 0
    for line in (shared_data / "openi" / "reports.jsonl").read_text().splitlines()[::4]:
        told = json.loads(line)
        text = " ".join(told[part] or "" for part in ("indication", "findings", "impression"))
        count += 1
        changed += names.cleaned(text)[1] > 0
    assert changed <= 0.002 * count
