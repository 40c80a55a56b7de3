"""The page as a whole: safe against what files bring, complete without its parts, the same every time."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from lingula.errors import Notice
from lingula.page import render_page, write_page
from lingula.page.evidence import LABEL_SLOTS, METHOD_SLOTS
from lingula.page.render import style_sheet
from lingula.study import DISCLAIMER, Duplicate, Mark, Neighbour, Part, Report, Snippet

HOSTILE = (
    "\"'></style></title></div><script>alert(1)</script><img src=http://x.example/ onerror=alert(2)>{{ 7 * 7 }}<!--"
)
PLAIN = "no-markup"


def test_hostile_strings_change_no_tag_and_no_attribute_name(make, parse):
    hostile, plain = (
        parse(render_page(**make(films=2, decorate=lambda s, end=end: s + end), title=end)) for end in (HOSTILE, PLAIN)
    )
    assert [(tag, list(attrs)) for tag, attrs in hostile.tags] == [(tag, list(attrs)) for tag, attrs in plain.tags]
    # each of these comes from a file or a model and is shown as it is
    for shown in ("CXR1", "pillow", "Modality", "CR", "Pleural effusion", "CXR100", "Clear lungs.", "compact", "train"):
        assert shown + HOSTILE in hostile.text
        assert shown + PLAIN in plain.text


def test_nothing_is_loaded_and_no_script_runs(make, parse):
    page = parse(render_page(**make(films=3)))
    for tag, attrs in page.tags:
        assert tag not in {"script", "iframe", "object", "embed", "form", "base", "video", "audio", "source"}
        assert not [name for name in attrs if name.startswith("on") or name == "style"]
        for name in ("src", "href", "srcset", "xlink:href", "poster"):
            if tag != "a" and name in attrs:
                assert attrs[name].startswith("data:")
    assert "url(" not in style_sheet()
    assert "@import" not in style_sheet()
    policies = [a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


@pytest.mark.parametrize(
    ("study_id", "image_id", "link"),
    [
        ("CXR7", "CXR7_IM-2-1001", "https://openi.nlm.nih.gov/detailedresult?img=CXR7_IM-2-1001&query="),
        ("1.2.840.7", "CXR7_IM-2-1001", None),
        ("CXR7\n", "CXR7_IM-2-1001", None),
        ("CXR7", "javascript:alert(1)", None),
        ("CXR7", 'CXR7"onclick=', None),
    ],
)
def test_only_openi_cases_are_linked(make, parse, study_id, image_id, link):
    given = make()
    neighbour = Neighbour(1, study_id, 0.5, (), None, (image_id,))
    given["analysis"] = replace(given["analysis"], neighbours=(neighbour,))
    links = [attrs["href"] for tag, attrs in parse(render_page(**given)).tags if tag == "a"]
    assert links == ([link] if link else [])


def test_a_case_shows_why_it_answers(make, parse):
    given = make()
    report = Report.from_sections(findings="Small <b>effusion</b>. No edema.")
    start, end = report.text.index("effusion"), report.text.index("effusion") + 8
    neighbour = Neighbour(
        1, "S", 1.5, (), report, (), (Part("text", 0.5, 1, 0.5), Part("labels", 1, 1, 1)),
        Snippet(report.sections[0].start, end + 5, (Mark(start, end, "effusion", "present"),)),
        (), (Duplicate("T", "same text"),), ("U",),
    )  # fmt: skip
    given["analysis"] = replace(given["analysis"], neighbours=(neighbour,))
    text = render_page(**given)
    assert 'Small &lt;b&gt;<mark class="present">effusion</mark>&lt;/b&gt;.' in text
    assert "text 0.500 + labels 1.000" in text
    assert "T (same text)" in text
    assert "same patient as U" in text


@pytest.mark.parametrize(
    "text", ["\n <b>a</b> &amp; FINDINGS: x\n\n y ", "FINDINGS: Fluid.  IMPRESSION:\tEffusion <5 mm & up"]
)
def test_every_drawing_of_the_report_is_its_text(make, parse, text):
    page = parse(render_page(**make(text=text)))
    reports = [report for report in page.reports if report != "Clear lungs."]
    assert len(reports) == 1 + 2 * 3  # unmarked; two labels, each with the three methods that score words
    assert set(reports) == {text}
    titles = [attrs["title"] for tag, attrs in page.tags if tag == "mark"]
    assert {"+0.4", "−0.2"} == set(titles)


PARTS = {
    "text only": ({"films": 0}, ["Answered from the report alone"], ["What was read", "Greyscale"]),
    "image only": ({"text": None}, ["No report came with this study", "the film alone"], ["Evidence in the words"]),
    "no neighbours": ({"neighbours": 0}, ["No similar cases were found"], ["Only in this case"]),
    "no explanations": ({"explained": ()}, ["No evidence maps were made"], ["What the evidence means", "completeness"]),
    "three films": ({"films": 3}, ["3 · Frontal", "(film 3)"], []),
    "nothing present": ({"probabilities": (0.1, 0.2, 0.3)}, ["Nothing above its threshold."], ["Not sure", "In both"]),
    "everything": (
        {},
        ["In both", "Only in this case", "Not sure", "No film in this library", "1.2 %"],
        ["1 · Frontal"],
    ),
}


@pytest.mark.parametrize("part", PARTS)
def test_missing_parts(make, parse, part):
    options, present, missing = PARTS[part]
    page = parse(render_page(**make(**options)))
    assert page.text.count(DISCLAIMER) == 2
    body = page.text[page.text.index(DISCLAIMER) :]
    for phrase in present:
        assert phrase in body
    for phrase in missing:
        assert phrase not in body
    assert "nan" not in body.lower().split()
    checked = [attrs["name"] for tag, attrs in page.tags if tag == "input" and "checked" in attrs]
    assert len(checked) == len(set(checked)) == len({a["name"] for tag, a in page.tags if tag == "input"})


def test_an_empty_library_study_and_empty_report_render(make, parse):
    given = make(films=0, text=" \n", neighbours=0, explained=())
    given["analysis"] = replace(given["analysis"], predictions=(), notices=())
    assert "No findings were predicted." in parse(render_page(**given)).text


def test_findings_are_ordered_by_decision_then_probability(make, parse):
    given = make()
    first = given["analysis"].predictions[0]
    rows = [("A", 0.2, "absent"), ("B", 0.7, "present"), ("C", 0.9, "abstain"), ("D", 0.8, "present")]
    rows += [("E", 0.99, "cannot_judge"), ("normal", 0.1, "present")]
    given["analysis"] = replace(
        given["analysis"],
        predictions=tuple(
            replace(first, label=name, name=name, probability=p, decision=decision) for name, p, decision in rows
        ),
    )
    html = render_page(**given)
    assert re.findall(r'<span class="name">(\w+)</span>', html) == ["normal", "D", "B", "C", "A", "E"]
    assert re.findall(r'<span class="decision \w+">([\w ]+)</span>', html) == [
        "Likely", "Flagged", "Flagged", "Not sure", "Not flagged", "Cannot judge"
    ]  # fmt: skip
    assert html.index("<details>") < html.index('<span class="name">A')


def test_an_interval_is_drawn_and_said_where_one_is_known(make, parse):
    made = make()
    first, *others = made["analysis"].predictions
    shown = replace(first, interval=(0.8049, 0.951))
    page = render_page(**{**made, "analysis": replace(made["analysis"], predictions=(shown, *others))})
    assert page.count("80–96 %") == 1  # rounded outwards
    assert page.count('class="reach" x1="80.5" x2="95.1"') == 1
    assert "so few validation" in page
    assert "so few validation" not in render_page(**made)


def test_each_slot_of_the_chooser_has_its_rule(make, parse):
    sheet = style_sheet()
    for name, slots in {"label": LABEL_SLOTS, "map": METHOD_SLOTS, "words": METHOD_SLOTS}.items():
        for slot in range(1, slots + 1):
            assert f"body:has(#{name}-{slot}:checked) .{name}-{slot}" in sheet
    page = parse(render_page(**make(films=2)))
    ids = {attrs["id"] for tag, attrs in page.tags if tag == "input"}
    picked = {part for _, attrs in page.tags for part in (attrs.get("class") or "").split() if "pick" in attrs["class"]}
    assert picked - {"pick"} <= ids
    assert {attrs["for"] for tag, attrs in page.tags if tag == "label" and "for" in attrs} <= ids


def test_more_labels_than_slots_are_left_out_of_the_chooser(make, parse):
    page = parse(render_page(**make(explained=tuple(f"label_{n}" for n in range(LABEL_SLOTS + 2)))))
    assert len([1 for tag, a in page.tags if tag == "input" and a["name"] == "label"]) == LABEL_SLOTS


def test_a_page_of_noise_stays_below_three_megabytes(make):
    given = make(films=3, size=(1400, 1200))
    rng = np.random.default_rng(0)
    for radiograph in [
        *given["analysis"].study.radiographs,
        *(s.radiographs[0] for s in given["neighbour_studies"].values()),
    ]:
        radiograph.pixels[:] = rng.random(radiograph.pixels.shape)
    for explanation in given["analysis"].explanations:
        for values in explanation.maps:
            values[:] = rng.normal(size=values.shape)
    assert len(render_page(**given)) < 3_000_000


def test_the_same_analysis_gives_the_same_bytes(make, tmp_path):
    for name in ("a.html", "b.html"):
        write_page(tmp_path / name, **make(films=2))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_what_utf8_cannot_hold_is_still_written(make, tmp_path):
    given = make()
    given["analysis"] = replace(
        given["analysis"], study=replace(given["analysis"].study, report=Report("a\ud800b", ()))
    )
    write_page(tmp_path / "page.html", **given)
    assert b"a&#55296;b" in (tmp_path / "page.html").read_bytes()


def test_a_doubt_about_the_input_stands_before_the_answer(make) -> None:
    given = make(films=1)
    message = "Film 1: this does not look like a chest radiograph."
    doubt = (Notice("not_a_chest_film", message), Notice("blank_image", "The picture is blank."))
    page = render_page(**{**given, "analysis": replace(given["analysis"], predictions=(), notices=doubt)})
    assert page.index(message) < page.index("findings-title") < page.index("The picture is blank.")
    assert page.count(message) == 1
    assert "no findings are given" in page


def test_a_map_that_marks_nothing_names_no_place(make, parse):
    given = make()
    flat = [replace(one, maps=tuple(map(np.zeros_like, one.maps))) for one in given["analysis"].explanations]
    given["analysis"] = replace(given["analysis"], explanations=tuple(flat))
    assert "Strongest in the" not in parse(render_page(**given)).text
