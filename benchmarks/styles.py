"""The reader of assertions on reports of known meaning, each written in many styles.

    python benchmarks/styles.py

300 reports are drawn from sentences written for the purpose, each of known findings and polarity, and set in every
style: prose, lines, bullets, numbers, tables, headings, double spacing, British spelling, capitals, semicolons. A
polarity error is a finding read otherwise than it was written (present or likely, uncertain, absent); one that is not
read at all is missed, one that was not written is extra. Reports agree when every style gives the same findings.
"""

from __future__ import annotations

import csv
import random
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingula.labels import polarity, read_assertions
from lingula.labels.assertion_rules import rules_version
from lingula.reading.report_text import parse_report
from machine import write_result

REPORTS, SEED = 300, 0
Meaning = dict[str, str]
"""Polarity by finding: present, uncertain or absent."""

NAMES = {
    "pneumothorax": "Pneumothorax", "effusion": "Pleural effusion", "consolidation": "Consolidation",
    "pneumonia": "Pneumonia", "edema": "Pulmonary edema", "nodule": "Pulmonary nodule", "fracture": "Rib fracture",
    "cardiomegaly": "Cardiomegaly", "emphysema": "Emphysema", "atelectasis": "Atelectasis", "scar": "Scarring",
    "hernia": "Hiatal hernia", "mass": "Mass",
}  # fmt: skip
SENTENCES: dict[str, dict[str, list[str]]] = {}
"""Sentences of one finding, by its code and polarity."""
with (Path(__file__).parent / "style_sentences.tsv").open(encoding="utf-8", newline="") as file:
    for row in csv.DictReader(file, delimiter="\t"):
        SENTENCES.setdefault(row["finding"], {}).setdefault(row["polarity"], []).append(row["sentence"])
TWO: list[tuple[str, str, str]] = [
    ("No {a} or {b}", "absent", "absent"),
    ("There is no evidence of {a} or {b}", "absent", "absent"),
    ("Neither {a} nor {b} is seen", "absent", "absent"),
    ("Negative for {a}/{b}", "absent", "absent"),
    ("No {a} and no {b}", "absent", "absent"),
    ("{A} without {b}", "present", "absent"),
    ("{A} (no {b})", "present", "absent"),
    ("No {a}, but there is {b}", "absent", "present"),
    ("No {a} while the {b} persists", "absent", "present"),
    ("No {a}, the {b} is unchanged", "absent", "present"),
    ("{A} is favored over {b}", "present", "uncertain"),
    ("{A}, though {b} cannot be excluded", "present", "uncertain"),
    ("No {a}, possible {b}", "absent", "uncertain"),
    ("{A} has resolved, however {b} is new", "absent", "present"),
]
"""Sentences of two findings, with their polarities."""
ANSWERS = {"present": ["Yes", "Small", "Present", "Mild, stable"], "absent": ["No", "None", "Absent", "Not seen"],
           "uncertain": ["Possible", "Cannot be excluded", "Equivocal"]}  # fmt: skip
BRITISH = {"edema": "oedema", "Edema": "Oedema", "favored": "favoured", "Hiatal": "Hiatus", "hiatal": "hiatus"}


@dataclass(frozen=True)
class Written:
    """A report: its sentences without full stops, and what they mean."""

    sentences: tuple[str, ...]
    meaning: Meaning


def write(chance: random.Random) -> Written:
    """Five to nine findings, each said once, in a random order."""
    codes = chance.sample(list(SENTENCES), chance.randint(5, 9))
    sentences, meaning = [], {}
    while codes:
        if len(codes) > 1 and chance.random() < 0.4:
            words, one, other = chance.choice(TWO)
            a, b = codes.pop(), codes.pop()
            noun = NAMES[a].lower()
            sentences.append(words.format(a=noun, A=noun[0].upper() + noun[1:], b=NAMES[b].lower()))
            meaning |= {a: one, b: other}
        else:
            code = codes.pop()
            said = chance.choices(["present", "absent", "uncertain"], [4, 4, 1])[0]
            sentences.append(chance.choice(SENTENCES[code][said]))
            meaning[code] = said
    chance.shuffle(sentences)
    return Written(tuple(sentences), meaning)


Style = Callable[[Written, random.Random], str]


def _wrapped(written: Written, width: int) -> list[str]:
    return textwrap.wrap(". ".join(written.sentences) + ".", width, break_on_hyphens=False)


def _table(separator: str) -> Style:
    def made(written: Written, chance: random.Random) -> str:
        rows = [f"{NAMES[code]}{separator}{chance.choice(ANSWERS[said])}" for code, said in written.meaning.items()]
        return "\n".join(rows)

    return made


def _boxes(written: Written, chance: random.Random) -> str:
    known = [(code, said) for code, said in written.meaning.items() if said != "uncertain"]
    return "\n".join(
        f"{NAMES[c]}: [{'x' if s == 'present' else ' '}] yes [{'x' if s == 'absent' else ' '}] no" for c, s in known
    )


def _british(written: Written, chance: random.Random) -> str:
    text = ". ".join(written.sentences) + "."
    return re.sub("|".join(BRITISH), lambda word: BRITISH[word.group()], text)


STYLES: dict[str, Style] = {
    "paragraph": lambda w, _: ". ".join(w.sentences) + ".",
    "lines": lambda w, _: "\n".join(w.sentences),
    "lines with stops": lambda w, _: "\n".join(f"{s}." for s in w.sentences),
    "lower-case lines": lambda w, _: "\n".join(w.sentences).lower(),
    "bullets": lambda w, _: "\n".join(f"- {s}" for s in w.sentences),
    "bullets inline": lambda w, _: "\u2022 " + " \u2022 ".join(w.sentences),
    "numbered": lambda w, _: "\n".join(f"{n}. {s}" for n, s in enumerate(w.sentences, 1)),
    "numbered inline": lambda w, _: " ".join(f"{n}) {s}" for n, s in enumerate(w.sentences, 1)),
    "headings": lambda w, _: f"FINDINGS: {'. '.join(w.sentences[:-1])}.\n\nIMPRESSION:\n1. {w.sentences[-1]}.",
    "headings, lines": lambda w, _: "\n".join(("FINDINGS:", *w.sentences[:-1], "", "IMPRESSION:", w.sentences[-1])),
    "wrapped": lambda w, _: "\n".join(_wrapped(w, 56)),
    "double spaced": lambda w, _: "\n\n".join(_wrapped(w, 64)),
    "capitals": lambda w, _: (". ".join(w.sentences) + ".").upper(),
    "capitals, lines": lambda w, _: "\n".join(w.sentences).upper(),
    "semicolons": lambda w, _: "; ".join(w.sentences) + ".",
    "glued stops": lambda w, _: ".".join(w.sentences) + ".",
    "quoted": lambda w, _: " ".join(f'"{s}."' for s in w.sentences),
    "bars": lambda w, _: " | ".join(w.sentences),
    "curly quotes": lambda w, _: (". ".join(w.sentences) + ".").replace("'", "\u2019").replace(" ", "\u00a0", 3),
    "British": _british,
    "table, colons": _table(": "),
    "table, tabs": _table("\t"),
    "table, bars": _table(" | "),
    "table, dashes": _table(" - "),
    "tick boxes": _boxes,
}


def read(text: str, codes: Sequence[str]) -> Meaning:
    """What the reader makes of a text, of these findings."""
    said = read_assertions(parse_report(text)[0])
    found = {code: polarity(said, code) for code in codes}
    return {code: "present" if p == "likely" else p for code, p in found.items() if p}


def measure(reports: int = REPORTS, seed: int = SEED) -> dict[str, Any]:
    """Counts by style, and examples of what was read otherwise."""
    chance = random.Random(seed)
    styles: dict[str, Counter[str]] = {name: Counter() for name in STYLES}
    examples: list[dict[str, Any]] = []
    agreeing = 0
    for _ in range(reports):
        written = write(chance)
        agrees = True
        for name, style in STYLES.items():
            text = style(written, chance)
            found, count = read(text, list(SENTENCES)), styles[name]
            for code, said in _meant(name, written.meaning).items():
                count["findings"] += 1
                wrong = code in found and found[code] != said
                count["errors"] += wrong
                count["missed"] += code not in found
                if wrong or code not in found:
                    agrees = False
                    examples.append(
                        {"style": name, "finding": code, "written": said, "read": found.get(code), "text": text}
                    )
            extra = found.keys() - written.meaning.keys()
            count["extra"] += len(extra)
            agrees &= not extra
            examples += [
                {"style": name, "finding": code, "written": None, "read": found[code], "text": text} for code in extra
            ]
        agreeing += agrees
    return {"reports": reports, "agreeing": agreeing, "styles": {name: dict(count) for name, count in styles.items()},
            "examples": examples}  # fmt: skip


def _meant(style: str, meaning: Mapping[str, str]) -> Mapping[str, str]:
    """Boxes cannot leave open, so that these findings are not written."""
    return {code: said for code, said in meaning.items() if style != "tick boxes" or said != "uncertain"}


def main() -> None:
    result = measure()
    total: Counter[str] = Counter()
    for count in result["styles"].values():
        total.update(count)
    examples = result.pop("examples")
    body = {
        "seed": SEED, "rules_version": rules_version(), **result, **total, "examples": examples[:20],
        "definition": "a polarity error is a finding read otherwise than written: present or likely, uncertain, absent",
    }  # fmt: skip
    entry = {"value": round(total["errors"] / total["findings"], 6), "n": total["findings"],
             "unit": f"share of findings, {REPORTS} reports in {len(STYLES)} styles"}  # fmt: skip
    write_result("styles", body, {"style_polarity_errors": entry})
    sys.stdout.write(f"{dict(total)}, {result['agreeing']} of {REPORTS} reports alike in every style\n")


if __name__ == "__main__":
    main()
