"""The reader of assertions on reports of known meaning, each written in many styles.

    python benchmarks/styles.py

300 reports are drawn from sentences written for the purpose, each of known findings and polarity, and set in every
style: prose, lines, bullets, numbers, tables, headings, double spacing, British spelling, capitals, semicolons. A
polarity error is a finding read otherwise than it was written (present or likely, uncertain, absent); one that is not
read at all is missed, one that was not written is extra. Reports agree when every style gives the same findings.
"""

from __future__ import annotations

import random
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
OWN = {
    "pneumothorax": {
        "present": ["Small right apical pneumothorax", "The pneumothorax on the left has enlarged since the last film",
                    "A sliver of pneumothorax persists along the right apex", "Tension pneumothorax on the left"],
        "absent": ["No pneumothorax", "I don't see a pneumothorax", "Pneumothorax isn't identified",
                   "The examination is negative for pneumothorax", "No residual pneumothorax after removal of the drain",
                   "Pneumothorax cannot be seen on these views", "Nil pneumothorax"],
        "uncertain": ["A tiny pneumothorax cannot be excluded", "Possible left pneumothorax", "Pneumothorax not excluded",
                      "Pneumothorax, if present, is very small"],
    },
    "effusion": {
        "present": ["Moderate left pleural effusion", "There are trace bilateral pleural effusions",
                    "The right effusion has not changed", "Layering effusion at the right base",
                    "No change in the small right pleural effusion"],
        "absent": ["No pleural effusion", "There isn't any pleural effusion", "The effusion has resolved",
                   "Both lungs are clear of effusion", "Pleural spaces are free of fluid, and no effusion is demonstrated",
                   "Effusions are absent"],
        "uncertain": ["A small effusion is possible", "Blunting that could be a small effusion",
                      "Trace effusion is not ruled out"],
    },
    "consolidation": {
        "present": ["Dense right lower lobe consolidation", "Consolidation in the lingula has progressed",
                    "New patchy consolidation at the left base"],
        "absent": ["No focal consolidation", "The lungs are without consolidation", "Consolidation is not appreciated",
                   "Lungs w/o focal consolidation", "There is no longer any consolidation"],
        "uncertain": ["Early consolidation cannot be ruled out", "Questionable consolidation behind the heart"],
    },
    "pneumonia": {
        "present": ["Left lower lobe pneumonia", "Multifocal pneumonia is present", "Worsening pneumonia on the right"],
        "absent": ["No pneumonia", "Pneumonia is unlikely", "Pneumonia has been ruled out", "No sign of pneumonia",
                   "The film doesn't show a pneumonia"],
        "uncertain": ["Pneumonia can't be excluded", "Pneumonia is a consideration", "May represent pneumonia"],
    },
    "edema": {
        "present": ["Mild interstitial pulmonary edema", "Pulmonary edema has worsened", "Persistent alveolar edema"],
        "absent": ["No pulmonary edema", "Edema is no longer present", "Neg. for edema", "No overt edema"],
        "uncertain": ["Mild edema is not excluded", "Possible early pulmonary edema"],
    },
    "nodule": {
        "present": ["6 mm nodule in the right upper lobe", "Several pulmonary nodules are again seen",
                    "The left apical nodule is unchanged"],
        "absent": ["No pulmonary nodule", "Suspicious nodules are not seen", "There aren't any pulmonary nodules"],
        "uncertain": ["Possible nodule over the right fourth rib", "A small nodule cannot be excluded"],
    },
    "fracture": {
        "present": ["Healed left rib fractures", "Acute fracture of the right sixth rib", "Old clavicle fracture"],
        "absent": ["No rib fracture", "No acute displaced fracture", "Fractures are not identified"],
        "uncertain": ["Nondisplaced rib fracture cannot be excluded", "Questionable fracture of the left seventh rib"],
    },
    "cardiomegaly": {
        "present": ["Cardiomegaly", "The heart is enlarged", "Stable moderate cardiomegaly", "Cardiomegaly is unchanged"],
        "absent": ["Heart size is normal", "The heart is not enlarged", "No cardiomegaly",
                   "Cardiac silhouette is within normal limits"],
        "uncertain": ["Possible cardiomegaly"],
    },
    "emphysema": {
        "present": ["Severe bullous emphysema", "Upper lobe emphysema is stable", "Emphysematous changes"],
        "absent": ["No emphysema", "Emphysema is not evident"],
        "uncertain": ["Findings suggest emphysema", "Possible emphysema"],
    },
    "atelectasis": {
        "present": ["Bibasilar atelectasis", "Linear atelectasis in the left base", "Right middle lobe atelectasis has increased"],
        "absent": ["No atelectasis", "Atelectasis has cleared", "Without atelectasis"],
        "uncertain": ["Atelectasis is possible", "May be atelectasis"],
    },
    "scar": {"present": ["Biapical scarring", "Stable scarring in the lingula"], "absent": ["No scarring"],
             "uncertain": ["Possible scarring"]},
    "hernia": {"present": ["Large hiatal hernia", "Hiatal hernia is again noted"], "absent": ["No hiatal hernia"],
               "uncertain": ["Possible hiatal hernia"]},
    "mass": {"present": ["Left hilar mass", "The right upper lobe mass has grown"],
             "absent": ["No mass", "No hilar mass is visible"], "uncertain": ["Possible mass at the left hilum"]},
}  # fmt: skip
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
BRITISH = {"edema": "oedema", "Edema": "Oedema", "favored": "favoured", "hemi": "hemi", "characterized": "characterised",
           "Hiatal": "Hiatus", "hiatal": "hiatus"}  # fmt: skip


@dataclass(frozen=True)
class Written:
    """A report: its sentences without full stops, and what they mean."""

    sentences: tuple[str, ...]
    meaning: Meaning


def write(chance: random.Random) -> Written:
    """Five to nine findings, each said once, in a random order."""
    codes = chance.sample(list(OWN), chance.randint(5, 9))
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
            sentences.append(chance.choice(OWN[code][said]))
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
    "headings and lines": lambda w, _: "FINDINGS:\n" + "\n".join(w.sentences[:-1]) + f"\n\nIMPRESSION:\n{w.sentences[-1]}",
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
}  # fmt: skip


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
            found, count = read(text, list(OWN)), styles[name]
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
            extra = found.keys() - written.meaning.keys() - _IMPLIED
            count["extra"] += len(extra)
            agrees &= not extra
            examples += [
                {"style": name, "finding": code, "written": None, "read": found[code], "text": text} for code in extra
            ]
        agreeing += agrees
    return {"reports": reports, "agreeing": agreeing, "styles": {name: dict(count) for name, count in styles.items()},
            "examples": examples}  # fmt: skip


_IMPLIED: frozenset[str] = frozenset()


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
    entry = {"value": round(total["errors"] / total["findings"], 4), "n": total["findings"],
             "unit": f"share of findings, {REPORTS} reports in {len(STYLES)} styles"}  # fmt: skip
    write_result("styles", body, {"style_polarity_errors": entry})
    sys.stdout.write(f"{dict(total)}, {result['agreeing']} of {REPORTS} reports alike in every style\n")


if __name__ == "__main__":
    main()
