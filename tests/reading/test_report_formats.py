"""Reports as people have them: headings, formats, characters, languages; and text in which there is nothing to read."""

from __future__ import annotations

import base64
import json
from itertools import product
from pathlib import Path

import pytest

from lingula.errors import InputError
from lingula.labels import polarity, read_assertions
from lingula.reading.headings import headings
from lingula.reading.report_text import decode_text, parse_report
from lingula.reading.study_reader import read_study
from lingula.reading.typography import plain_text

MEANT = {"pneumothorax": "absent", "pleural_effusion": "present"}
TEXT = "FINDINGS: No pneumothorax.\nSmall left pleural effusion.\nIMPRESSION: Effusion."


def told(text: str) -> dict[str, str | None]:
    said = read_assertions(parse_report(text)[0])
    return {finding: polarity(said, finding) for finding in MEANT}


def sections(text: str) -> list[str]:
    return list(dict.fromkeys(part.name for part in parse_report(text)[0].sections))


def codes(text: str) -> list[str]:
    return [notice.code for notice in parse_report(text)[1]]


# -- headings

REASONS = (
    "CLINICAL INFORMATION",
    "CLINICAL DATA",
    "Clinical History",
    "HX",
    "REASON FOR STUDY",
    "Reason for Examination",
    "REASON FOR THE EXAM",
    "INDICATION",
    "NDICATION",
    "Indicaton",
    "PERTINENT HISTORY",
    "CLINICAL QUESTION",
)
FINDINGS = ("FINDINGS", "Findings", "OBSERVATIONS", "REPORT", "Radiographic findings", "FINDIGNS")
CONCLUSIONS = ("IMPRESSION", "Conclusion", "OPINION", "INTERPRETATION", "SUMMARY", "Final impression", "IMPRESION")
FORMS = ("{}: ", "{}:\n", "{}\n", "## {}\n\n", "**{}:** ", "1. {}: ", "{} - ", "*** {} ***\n", "[{}]\n")


@pytest.mark.parametrize(("form", "reason"), list(product(FORMS, REASONS)))
def test_a_reason_is_no_finding_under_any_heading(form: str, reason: str) -> None:
    if form == "{}\n" and reason == "Indicaton":
        pytest.skip("a misspelt word alone on a line, not in capitals, is no heading")
    text = form.format(reason) + "Pneumothorax, pleural effusion.\n\n" + form.format("IMPRESSION") + "Clear lungs."
    assert sections(text) == ["indication", "impression"]
    assert "present" not in told(text).values()


@pytest.mark.parametrize(("form", "finding", "conclusion"), list(product(FORMS, FINDINGS, CONCLUSIONS)))
def test_findings_and_conclusions_are_found(form: str, finding: str, conclusion: str) -> None:
    text = f"{form.format(finding)}No pneumothorax.\n\n{form.format(conclusion)}Left pleural effusion."
    assert sections(text) == ["findings", "impression"]
    assert told(text) == MEANT


@pytest.mark.parametrize(
    "heading", ["TECHNIQUE", "PROCEDURE", "EXAM", "RECOMMENDATION", "Recommendations", "EXAM DATE", "PLAN"]
)
def test_what_asserts_nothing_is_not_read(heading: str) -> None:
    text = f"FINDINGS: Clear lungs.\n{heading}: CT for pneumothorax and pleural effusion."
    assert told(text) == {"pneumothorax": None, "pleural_effusion": "absent"} or "present" not in told(text).values()
    assert sections(text) == ["findings"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("IMPRESSION - No pneumothorax. FINDINGS - Small effusion.", ["impression", "findings"]),
        ("FINDINGS The lungs are clear.\nIMPRESSION No acute disease.", ["findings", "impression"]),
        ("PRELIMINARY READ: Large effusion.\nFINAL READ: No effusion.", ["impression"]),
        ("78 year old, rule out pneumothorax.\nIMPRESSION: Clear lungs.", ["impression"]),
        ("CHEST TWO VIEWS\nThe lungs are clear.\nIMPRESSION: Normal chest.", ["findings", "impression"]),
        ("EXAM: Chest\n\nThe lungs are clear.\n\nIMPRESSION: Normal chest.", ["findings", "impression"]),
        ("LUNGS: Clear.\nHEART: Normal.\nIMPRESSION: Normal chest.", ["findings", "impression"]),
        ("INDICATION: Cough\nLUNGS: Clear.\nPLEURA: No effusion.", ["indication", "findings"]),
        ("Pneumothorax: None\nEffusion: Yes", ["findings"]),
        ("XYZQ: pneumothorax\nIMPRESSION: Clear lungs.", ["impression"]),
        ("FINDINGS: Clear lungs. Unchanged compared to prior exam: no effusion.", ["findings"]),
    ],
)
def test_headings_in_their_places(text: str, names: list[str]) -> None:
    assert sections(text) == names


def test_headings_take_linear_time() -> None:
    for text in (" " * 20000, "A " * 10000, "*" * 20000, "IMPRESSION " * 1800, "a:" * 10000, "- " * 10000):
        headings(text)


# -- formats

RTF = (
    r"{\rtf1\ansi\ansicpg1252{\fonttbl\f0 Arial;}{\*\generator x;}\f0 FINDINGS: There isn\'92t a pneumothorax.\par "
    r"Small left pleural effu\u64257?ion{\b .}\par}"
)
HTML = (
    "<html><head><title>No effusion</title><style>p{}</style></head><body><b>FINDINGS</b><br>No pneumothorax<br>"
    "Small left pleural effusion</body></html>"
)
ROWS = "<table><tr><td>Pneumothorax</td><td>No</td></tr><tr><td>Pleural effusion</td><td>Yes</td></tr></table>"
HL7 = (
    "MSH|^~\\&|RIS|X|||202001011200||ORU^R01|1|P|2.3\rPID|1||9\rOBR|1|||71020\r"
    "OBX|1|TX|71020&GDT||No pneumothorax\\.br\\Small left pleural effusion||||||F\r"
    "OBX|2|TX|71020&IMP||Effusion \\T\\ more||||||F"
)


def fhir(**parts: object) -> str:
    return json.dumps({"resourceType": "DiagnosticReport", "status": "final", **parts})


def form(text: str, kind: str = "text/plain") -> list[dict[str, str]]:
    return [{"contentType": kind, "data": base64.b64encode(text.encode()).decode()}]


WRAPPED = {
    "report.txt": TEXT,
    "report.md": TEXT.replace("FINDINGS:", "## Findings\n\n"),
    "report.rpt": TEXT,
    "report.rtf": RTF.replace("\\u64257?ion", "sion"),
    "report.html": HTML,
    "rows.html": f"<p>FINDINGS</p>{ROWS}",
    "report.hl7": HL7,
    "conclusion.json": fhir(conclusion=TEXT),
    "form.json": fhir(presentedForm=form(TEXT)),
    "inner.json": fhir(presentedForm=form(HTML, "text/html")),
    "div.json": fhir(text={"div": f"<div>{TEXT}</div>"}),
    "bundle.json": json.dumps({"resourceType": "Bundle", "entry": [{"resource": json.loads(fhir(conclusion=TEXT))}]}),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_formats_are_read_by_content(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(WRAPPED[name], encoding="utf-8")
    for study in (read_study([path]), read_study([], report=path), read_study([], report=path.read_bytes())):
        assert study.report is not None
        said = read_assertions(study.report)
        assert {finding: polarity(said, finding) for finding in MEANT} == MEANT
    assert told(WRAPPED[name]) == MEANT


REFUSED = {
    "report.pdf": b"%PDF-1.4\nBT (No pneumothorax.) Tj ET",
    "report.docx": b"PK\x03\x04" + bytes(200),
    "old.doc": b"\xd0\xcf\x11\xe0" + bytes(200),
    "list.csv": b"id,report,label\n1,clear,0\n",
    "list.txt": b"id,report,label\n1,clear,0\n2,effusion,1\n",
    "patient.json": b'{"resourceType": "Patient"}',
    "wrong.json": fhir(status="entered-in-error", conclusion=TEXT).encode(),
    "pdf.json": fhir(presentedForm=[{"contentType": "application/pdf", "data": "JVBERi0="}]).encode(),
    "deep.json": b'{"a":' + b"[" * 100000,
    "two.json": f"[{fhir(conclusion=TEXT)}, {fhir(conclusion=TEXT)}]".encode(),
    "empty.hl7": b"MSH|^~\\&|RIS\rPID|1||9\r",
    "binary.txt": b"FINDINGS\x00\x01\x02: clear",
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_formats_are_refused_by_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(REFUSED[name])
    with pytest.raises(InputError) as refused:
        read_study([], report=path)
    assert refused.value.code == "not_a_report"
    assert refused.value.hint


def test_segments_of_hl7_make_sections() -> None:
    report, _ = parse_report(HL7)
    assert report.section("findings") == "No pneumothorax\nSmall left pleural effusion"
    assert report.section("impression") == "Effusion & more"


# -- characters


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("e\ufb00usion, \ufb01broid, re\ufb02ux", "effusion, fibroid, reflux"),
        ("pneumo\u00adthorax, no\u200b effusion\ufeff", "pneumothorax, no effusion"),
        ("isn\u2019t \u201cclear\u201d \u2013 T8\u2014T9", 'isn\'t "clear" - T8-T9'),
        ("No\u00a0pleural\u202feffusion", "No pleural effusion"),
        ("pneumo-\nthorax and left-\nsided", "pneumothorax and left-sided"),
        ("PNEUMO-\nTHORAX", "PNEUMOTHORAX"),
        ("There is no\n\npleural effusion.\n\nHeart normal.", "There is no\npleural effusion.\n\nHeart normal."),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("There isnâ€™t an effusion", "There isn't an effusion"),
        ("\uff2e\uff4f effusion", "No effusion"),
        ("FINDINGS-\nclear", "FINDINGS-\nclear"),
    ],
)
def test_text_is_set_in_plain_characters(given: str, plain: str) -> None:
    assert plain_text(given) == plain
    assert plain_text(plain) == plain


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    data = "FINDINGS: There isn\u2019t a pneumothorax. Small left effusion.".encode(encoding)
    assert decode_text(data)[0].endswith("effusion.")
    (tmp_path / "report.txt").write_bytes(data)
    report = read_study([tmp_path / "report.txt"]).report
    assert report is not None
    assert "isn't" in report.text


# -- languages

FOREIGN = [
    "Kein Pneumothorax. Kleiner Pleuraerguss links.",
    "Keine Infiltrate, kein pneumothorax.",
    "Pas de pneumothorax. Discret épanchement pleural gauche.",
    "Absence de pneumothorax. Poumons clairs.",
    "No se observa pneumothorax. Derrame pleural izquierdo.",
    "Sin derrame pleural ni pneumothorax.",
    "Nao ha pneumothorax; geen pneumothorax; nessun pneumothorax.",
    "Não há pneumotórax. Pequeno derrame pleural à direita.",
    "Non si osserva pneumothorax. Versamento pleurico a destra.",
    "Geen pneumothorax. Klein pleuravocht links.",
    "Ingen pneumothorax. Hjertet er normalt.",
    "Bez pneumothorax. Srdce v normě.",
    "Пневмоторакса нет.",
    "胸部正常。无气胸。",
    "لا يوجد استرواح الصدر",
]


@pytest.mark.parametrize("text", FOREIGN)
def test_other_languages_are_said_and_not_read(text: str) -> None:
    report, notices = parse_report(f"FINDINGS: {text}")
    assert [notice.code for notice in notices] == ["report_language", "report_empty"]
    assert report.text == plain_text(f"FINDINGS: {text}")
    assert read_assertions(report) == ()


def test_english_beside_another_language_is_read() -> None:
    report, notices = parse_report("FINDINGS: Small left pleural effusion. Kein Pneumothorax. Mild cardiomegaly.")
    assert [notice.code for notice in notices] == ["report_language"]
    assert "German" in notices[0].message
    said = read_assertions(report)
    assert [polarity(said, code) for code in ("pleural_effusion", "pneumothorax", "cardiomegaly")] == [
        "present",
        None,
        "present",
    ]


@pytest.mark.parametrize(
    "text", ["", " ", "-", "N/A", "XXXX", "12345", "Report to follow.", "None.", "See PACS.", "\u200d", "\ue000"]
)
def test_text_in_which_nothing_is_read(text: str) -> None:
    assert codes(text) == ["report_empty"]


@pytest.mark.parametrize(
    "text", ["No acute disease.", "Normal.", "Clear lungs", "Unremarkable.", "Heart failure", "Negative chest."]
)
def test_short_reports_are_read(text: str) -> None:
    assert codes(text) == []
