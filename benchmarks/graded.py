"""Forty questions in words, asked on the page, the answers graded by coded labels and the words of reports.

    python benchmarks/graded.py LIBRARY [--badly]

Each question is typed into the search of the page, as a person would. An answer is right when the study's coding or its
report says what was asked: labels of the coding, and a pattern of words that is affirmed in the report (in a sentence
that does not deny it) and one that must not be, written down here beside each question and independent of the reader
that the search uses. P@10 is the share of right ones among the first ten, for questions of which the collection has ten
right studies or more; for the others, among as many as it has. Words that are no finding, side or place must each be
said to be not understood, on the page. Results hold counts only. Needs Chromium and playwright.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lingula.library import Library, StudyRecord
from lingula.model.checkpoint import load_checkpoint
from machine import write_result
from page import browser
from served import served

DENIED = re.compile(
    r"\b(no|not|without|negative|free of|rather than|resolved|absence|neither|nor|unremarkable|clear of|removed"
    r"|normal|within normal limits|exclude|ruled out)\b",
    re.IGNORECASE,
)
EFFUSION, FLUID = r"effusions?", "(Pleural Effusion|Costophrenic Angle)"
"""In words, and in the coding's terms: a blunted angle is coded as its place where effusion is coded."""
CARDIOMEGALY = r"cardiomegaly|enlarged (heart|cardiac)|(heart|cardiac silhouette|heart size)[^.]{0,30}enlarged"


@dataclass(frozen=True)
class Graded:
    """A question and what a right answer is.

    Attributes:
        labels: of which a right study is coded with one; or a sentence of its report affirms ``words``.
        terms: a pattern of the coding's own terms, which hold sides and places that labels do not.
        absent: labels that it is not coded with; ``unwritten``: words that no sentence affirms.
        age: from and to, in years.
        nonsense: words of the question that mean nothing to the search and must be said so.
    """

    question: str
    labels: tuple[str, ...] = ()
    words: str = ""
    terms: str = ""
    both: bool = False
    absent: tuple[str, ...] = ()
    unwritten: str = ""
    age: tuple[int, int] | None = None
    nonsense: tuple[str, ...] = ()


QUESTIONS = (
    Graded("cardiomegaly", ("cardiomegaly",), CARDIOMEGALY),
    Graded("pleural effusion", ("pleural_effusion",), EFFUSION),
    Graded("right effusion", words=r"right[^.]{0,40}effusion|bilateral[^.]{0,40}effusion|effusion[^.]{0,40}right",
           terms=rf"{FLUID}/.*(right|bilateral)"),
    Graded("left effusion, no cardiomegaly",
           words=r"(left|bilateral)[^.]{0,40}effusion|effusion[^.]{0,40}left", terms=rf"{FLUID}/.*(left|bilateral)",
           absent=("cardiomegaly",), unwritten=CARDIOMEGALY),
    Graded("effusion without cardiomegaly", ("pleural_effusion",), EFFUSION, absent=("cardiomegaly",),
           unwritten=CARDIOMEGALY),
    Graded("cardiomegaly without effusion", ("cardiomegaly",), CARDIOMEGALY, absent=("pleural_effusion",)),
    Graded("bilateral pleural effusions", words=r"bilateral[^.]{0,40}effusion|effusions",
           terms=rf"{FLUID}/.*bilateral"),
    Graded("atelectasis", ("atelectasis",), r"atelecta\w+"),
    Graded("left base atelectasis",
           words=r"(left|bilateral|both)[^.]{0,60}(bas|lower)[^.]{0,60}atelecta|(bas|lower)\w*[^.]{0,60}atelecta"
           r"|atelecta[^.]{0,60}(left|bilateral|both)"),
    Graded("right basilar atelectasis",
           words=r"(right|bilateral|both|bibasilar)[^.]{0,60}atelecta|atelecta[^.]{0,60}(right|bilateral|both|bases)"
           r"|bibasilar", terms=r"Pulmonary Atelectasis/.*(right|bilateral)"),
    Graded("bibasilar atelectasis",
           words=r"bibas\w+|(both|bilateral)[^.]{0,60}(bas|lower)[^.]{0,60}atelecta|atelecta[^.]{0,60}bases",
           terms=r"Pulmonary Atelectasis/.*(base.*bilateral|bilateral.*base)"),
    Graded("atelectasis or consolidation", ("atelectasis",), r"atelecta\w+|consolidat\w+"),
    Graded("granuloma", ("granuloma",), r"granulom\w+"),
    Graded("calcified granuloma in the right upper lobe",
           words=r"(right upper|right apex|right apical|right)[^.]{0,60}granulom|granulom[^.]{0,60}right"),
    Graded("hyperinflated lungs", ("hyperinflation",), r"hyperinflat\w+|hyperexpan\w+|emphysem\w+"),
    Graded("hyperinflated, no nodule", ("hyperinflation",), r"hyperinflat\w+|hyperexpan\w+|emphysem\w+",
           absent=("nodule_mass",)),
    Graded("hyperinflated, elderly, no nodule", ("hyperinflation",), r"hyperinflat\w+|hyperexpan\w+|emphysem\w+",
           absent=("nodule_mass",), age=(65, 120)),
    Graded("emphysema", ("hyperinflation",), r"emphysem\w+|COPD"),
    Graded("low lung volumes", ("hypoinflation",),
           r"low lung volume\w*|hypoinflat\w+|hypoventilat\w+|poor inspiration"),
    Graded("nodule", ("nodule_mass",), r"nodul\w+|mass(es)?\b"),
    Graded("possible nodule", words=r"nodul\w+|mass(es)?\b|nipple"),
    Graded("lung mass", ("nodule_mass",), r"mass(es)?\b"),
    Graded("pneumothorax", ("pneumothorax",), r"pneumothora\w+"),
    Graded("pneumonia", ("airspace_disease",), r"pneumonia|infiltrat\w+|airspace (disease|opacit\w+)|consolidat\w+"),
    Graded("right middle lobe pneumonia",
           words=r"(right middle|middle lobe)[^.]{0,60}pneumonia|pneumonia[^.]{0,60}(right middle|middle lobe)"),
    Graded("pulmonary edema", ("pulmonary_edema",), r"edema|congesti\w+"),
    Graded("vascular congestion", ("pulmonary_edema",), r"congesti\w+"),
    Graded("interstitial markings", ("interstitial_markings",), r"interstiti\w+|fibrosis|reticul\w+"),
    Graded("scarring", ("scar",), r"scar\w*|cicatri\w+"),
    Graded("apical pleural thickening",
           words=r"(apic|apex|pleural)[^.]{0,60}thicken|thicken[^.]{0,60}(apic|apex|pleur)"),
    Graded("tortuous aorta", ("aortic_disease",), r"tortuo\w+|ectatic|atherosclero\w+"),
    Graded("hiatal hernia", ("hernia",), r"hiatal hernia|hernia"),
    Graded("scoliosis", ("spinal_curvature",), r"scolio\w+|kypho\w+"),
    Graded("degenerative changes of the thoracic spine", ("degenerative_spine",),
           r"degenerat\w+|osteophyt\w+|spondylo\w+|spurring"),
    Graded("old rib fracture", ("fracture",), r"fractur\w+"),
    Graded("pacemaker", words=r"pacemaker|pacer|AICD|ICD|defibrillator|cardiac device|generator"),
    Graded("central line",
           words=r"central (venous )?(line|catheter)|PICC|port\b|port-?a-?cath|catheter|PortaCath|Port-A"),
    Graded("elevated right hemidiaphragm",
           words=r"(elevat|eventrat)\w*[^.]{0,60}(diaphragm)|(diaphragm)\w*[^.]{0,60}(elevat|eventrat)"),
    Graded("cardiomegaly and pulmonary edema", ("cardiomegaly",), CARDIOMEGALY, both=True, nonsense=()),
    Graded("effusion with blorptic zanthemia", ("pleural_effusion",), EFFUSION, nonsense=("blorptic", "zanthemia")),
)  # fmt: skip
ASIDES = (
    Graded("wibbly effusion", nonsense=("wibbly",)),
    Graded("cardiomegaly qqxyz", nonsense=("qqxyz",)),
    Graded("nodule of the frobnicated lobe", nonsense=("frobnicated",)),
    Graded("granuloma, tuvwex", nonsense=("tuvwex",)),
    Graded("pneumonia zebra", nonsense=("zebra",)),
    Graded("left banana effusion", nonsense=("banana",)),
    Graded("no granuloma, likes jazz", nonsense=("likes", "jazz")),
    Graded("scar xylophone or atelectasis", nonsense=("xylophone",)),
    Graded("zzqqxv", nonsense=("zzqqxv",)),
)
"""Further questions with a word that means nothing: only that it is said is graded."""


def sentences(record: StudyRecord) -> Iterator[str]:
    if record.report:
        for section in ("findings", "impression"):
            yield from re.split(r"(?<=[.;])\s+", record.report.section(section) or "")


def affirms(record: StudyRecord, words: str) -> bool:
    """Whether a clause of the report holds the words and nothing that denies them before or after."""
    for sentence in sentences(record):
        for clause in re.split(r",? but |, however,? | with ", sentence):
            found = re.search(words, clause, re.IGNORECASE)
            if found and not DENIED.search(clause):
                return True
    return False


def right(question: Graded, record: StudyRecord) -> bool:
    """Whether a study is what was asked for."""
    coded = set(record.labels or ())
    said = bool(question.words) and affirms(record, question.words)
    if question.both and not ("pulmonary_edema" in coded or affirms(record, r"edema|congesti\w+")):
        return False
    if question.age and not (record.age is not None and question.age[0] <= record.age <= question.age[1]):
        return False
    if coded & set(question.absent) or (question.unwritten and affirms(record, question.unwritten)):
        return False
    termed = bool(question.terms) and any(re.match(question.terms, term, re.IGNORECASE) for term in record.terms)
    return said or bool(coded & set(question.labels)) or termed


def asked_on_page(page: Any, question: str) -> tuple[list[str], list[str]]:
    """The first ten studies that the page shows for a question, and the words that it says it did not understand."""
    page.goto("/search")
    page.wait_for_selector("html[data-started]")
    page.fill("#question", question)
    page.press("#question", "Enter")
    page.wait_for_url("**/search?**")
    page.wait_for_selector("html[data-started]")
    studies = page.locator("[data-grid] .tile").evaluate_all("all => all.map((each) => each.dataset.study)")[:10]
    said = page.locator(".chip.word, .chip.left-out").all_inner_texts()
    return studies, [found[1] for each in said if (found := re.search("“([^”]*)”", each))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", type=Path)
    parser.add_argument("--badly", action="store_true", help="list wrong answers, to be looked at; write no result")
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    told: list[dict[str, Any]] = []
    meant = said = 0
    with (
        sync_playwright() as driver,
        served(asked.library) as server,
        Library.open(asked.library, model=load_checkpoint("compact").fingerprint) as library,
    ):
        records = {study: library.get(study) for study in library.ids()}
        page = browser(driver).new_context(base_url=server.address).new_page()
        for question in (*QUESTIONS, *ASIDES):
            shown, unknown = asked_on_page(page, question.question)
            meant += len(question.nonsense)
            said += sum(word in unknown for word in question.nonsense)
            if question in ASIDES:
                continue
            relevant = {study for study, record in records.items() if right(question, record)}
            k = min(10, len(relevant))
            hits = sum(study in relevant for study in shown[:k])
            told.append({"question": question.question, "relevant": len(relevant), "k": k, "right": hits,
                         "not_understood": unknown})  # fmt: skip
            if asked.badly:
                print(question.question, hits, "/", k, "of", len(relevant), unknown)
                for study in shown[:k]:
                    if study not in relevant:
                        print("   ", study, records[study].labels, " ".join(sentences(records[study]))[:300])
    if asked.badly:
        return
    enough = [each for each in told if each["relevant"] >= 10]
    precision = np.array([each["right"] / 10 for each in enough])
    drawn = np.random.default_rng(0).choice(precision, (1000, len(precision)))
    low, high = np.percentile(drawn.mean(1), (2.5, 97.5))
    headline: dict[str, dict[str, Any]] = {
        "graded_p10": {"value": round(float(precision.mean()), 4), "unit": "share", "n": len(enough),
                       "low": round(float(low), 4), "high": round(float(high), 4)},
        "not_understood_said": {"value": round(said / meant, 4), "unit": "share", "n": meant},
    }  # fmt: skip
    body = {"questions": told, "studies": len(records), "below_ten": len(told) - len(enough), "seed": 0}
    print(json.dumps({**body, **{key: entry["value"] for key, entry in headline.items()}}, indent=1))
    write_result("graded", body, headline)


if __name__ == "__main__":
    main()
