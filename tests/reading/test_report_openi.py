"""Reports: what is taken from a file, and that every bad file is refused with its code."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path

import pytest

from lingula.errors import InputError
from lingula.reading.limits import Limits
from lingula.reading.report_openi import read_report


def xml(
    *, findings: str = "A round shadow in the lingula.", body: str = "", images: str = "", uid: str = "CXR42"
) -> str:
    return f"""<eCitation><uId id="{uid}"/><MedlineCitation><Article><Abstract>
        <AbstractText Label="INDICATION">Cough</AbstractText><AbstractText Label="FINDINGS">{findings}</AbstractText>
        <AbstractText Label="IMPRESSION"/>{body}</Abstract></Article></MedlineCitation>
        <MeSH><major> Nodule/lingula </major><major/><major>Cough</major><automatic>shadow</automatic></MeSH>
        {images}</eCitation>"""


def image(image_id: str) -> str:
    return f'<parentImage id="{image_id}"><caption>one view</caption></parentImage>'


def refusal(source: Path | bytes, **limits: int) -> str:
    with pytest.raises(InputError) as caught:
        read_report(source, limits=replace(Limits(), **limits))
    return caught.value.code


def codes(text: str, **limits: int) -> list[str]:
    return [notice.code for notice in read_report(text.encode(), limits=replace(Limits(), **limits)).notices]


def test_reads_what_the_file_says() -> None:
    images = image("CXR42_IM-0001-1001") + image("CXR42_IM-0001-2001") + image("CXR42_IM-0001-1001")
    read = read_report(xml(images=images).encode())
    assert read.study_id == "CXR42"
    assert read.terms == ("Nodule/lingula", "Cough")
    assert read.image_ids == ("CXR42_IM-0001-1001", "CXR42_IM-0001-2001")
    assert read.report.text == "INDICATION: Cough\n\nFINDINGS: A round shadow in the lingula."
    assert read.report.section("findings") == "A round shadow in the lingula."
    assert [section.name for section in read.report.sections] == ["indication", "findings"]
    assert read.notices == ()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Heart <i>large</i>, <b>lungs <sub>clear</sub></b>.", "Heart large, lungs clear."),
        ("<![CDATA[rib < b & <c>]]>", "rib < b & <c>"),
        ("rib &lt; b &amp; c &#8211; d", "rib < b & c - d"),
        ("r<!-- not this -->ib", "rib"),
    ],
)
def test_markup_is_kept_as_text(written: str, read: str) -> None:
    assert read_report(xml(findings=written).encode()).report.section("findings") == read


def test_no_text_is_lost_to_an_odd_label() -> None:
    body = """<AbstractText Label="findings">Second part.</AbstractText><AbstractText>Third.</AbstractText>
        <AbstractText Label="Technique">Erect.</AbstractText>"""
    report = read_report(xml(body=body, findings="First rib.").encode()).report
    assert report.section("findings") == "First rib.\nSecond part.\nThird."
    assert report.text.endswith("\n\nTECHNIQUE: Erect.")


def test_notices() -> None:
    empty = '<eCitation><uId id="CXR1"/></eCitation>'
    assert codes(empty) == ["report_empty", "no_images"]
    assert codes(xml(images=image("../../etc") + image("CXR42_IM-0001-1001"))) == ["bad_image_ref"]
    assert codes(xml(images=image("CXR42_IM-0001-1001")), text_characters=30) == ["text_cut"]


def test_a_long_text_is_cut_with_its_sections() -> None:
    report = read_report(xml(findings="ribs seen").encode(), limits=replace(Limits(), text_characters=33)).report
    assert report.text == "INDICATION: Cough\n\nFINDINGS: ribs"
    assert report.section("findings") == "ribs"


def test_refusals(tmp_path: Path) -> None:
    assert refusal(b"") == "empty_file"
    assert refusal(tmp_path) == "not_found"
    assert refusal(xml().encode(), xml_bytes=200) == "too_large"
    assert refusal(xml(uid="../CXR1").encode()) == "not_a_report"
    assert refusal(b"<?xml version='1.0' encoding='rot13'?><eCitation/>") == "xml_encoding"
    assert refusal(b"<?xml version='1.0' encoding='shift_jis'?><eCitation/>") == "xml_encoding"
    assert refusal(b"<!DOCTYPE eCitation []><eCitation/>") == "xml_forbidden_dtd"


def test_depth_is_counted_from_the_root() -> None:
    nested = "<a>" * 3 + "</a>" * 3
    text = f'<eCitation><uId id="CXR1"/>{nested}{nested}</eCitation>'
    assert read_report(text.encode(), limits=replace(Limits(), xml_depth=4)).study_id == "CXR1"
    assert refusal(text.encode(), xml_depth=3) == "xml_too_deep"
    deep = b"<eCitation>" + b"<a>" * 200_000
    assert refusal(deep) == "xml_too_deep"


def test_every_bad_report_is_judged_as_listed(shared_data: Path) -> None:
    folder = shared_data / "badinput"
    with (folder / "manifest.tsv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["kind"] == "xml"]
    assert len(rows) > 50
    wrong = []
    for row in rows:
        try:
            read_report(folder / row["path"])
            outcome = ("accept", "")
        except InputError as error:
            outcome = ("reject", error.code)
        if outcome != (row["expect"], row["code"] if row["expect"] == "reject" else ""):
            wrong.append((row["path"], outcome))
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1.xml")
    assert refusal(tmp_path / "1.xml") == "not_found"
