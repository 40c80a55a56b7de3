"""Questions of known meaning: read, printed and read again.

    python benchmarks/questions.py

500 questions are drawn from a grammar. Half are put together from their parts (findings, sides and places, wanted,
unwanted, possible or of several one, and words), printed as the product prints them and read: they must come back
identical. Half are written as people ask, in 30 turns of phrase, each of known meaning; they are read, printed and
read again, which must give the same. A polarity error is a finding asked for with another meaning than it was
written with.
"""

from __future__ import annotations

import random
import sys
from typing import Any

from lingula.labels import search_findings
from lingula.labels.assertion_rules import places_within, rules_version
from lingula.retrieval import Query, Wanted
from lingula.retrieval.question import printed_names
from machine import write_result

QUESTIONS, SEED = 500, 0
GROUPS = ("present", "absent", "uncertain", "either")
NOUNS = {
    "pneumothorax": ["pneumothorax", "PTX", "pneumothoraces"],
    "effusion": ["effusion", "pleural effusions", "haemothorax"],
    "consolidation": ["consolidation"],
    "pneumonia": ["pneumonia", "PNA"],
    "edema": ["pulmonary edema", "oedema"],
    "nodule": ["nodule", "pulmonary nodules"],
    "bone_fracture": ["fracture", "rib fractures"],
    "mass": ["mass"],
    "cardiomegaly": ["cardiomegaly", "enlarged heart"],
    "emphysema": ["emphysema"],
    "atelectasis": ["atelectasis"],
    "scar": ["scarring"],
    "hernia": ["hiatal hernia"],
    "pacemaker": ["pacemaker"],
    "chest_tube": ["chest tube"],
    "central_line": ["central line", "PICC line"],
    "lymphadenopathy": ["lymphadenopathy"],
    "free_air": ["free air"],
}
TURNS: list[tuple[str, tuple[str, ...]]] = [
    ("{a}", ("present",)),
    ("no {a}", ("absent",)),
    ("w/o {a}", ("absent",)),
    ("possible {a}", ("uncertain",)),
    ("R/O {a}", ("uncertain",)),
    ("?{a}", ("uncertain",)),
    ("{a}, {b}", ("present", "present")),
    ("{a} and {b}", ("present", "present")),
    ("both {a} and {b}", ("present", "present")),
    ("{a} with {b}", ("present", "present")),
    ("{a} without {b}", ("present", "absent")),
    ("{a}, no {b}", ("present", "absent")),
    ("{a} but not {b}", ("present", "absent")),
    ("{a} but no {b}", ("present", "absent")),
    ("{a} excluding {b}", ("present", "absent")),
    ("{a} except {b}", ("present", "absent")),
    ("{a} minus {b}", ("present", "absent")),
    ("{a} AND NOT {b}", ("present", "absent")),
    ("cases of {a} w/o any {b}", ("present", "absent")),
    ("{a} in the absence of {b}", ("present", "absent")),
    ("no {a} or {b}", ("absent", "absent")),
    ("neither {a} nor {b}", ("absent", "absent")),
    ("{a} or {b}", ("either", "either")),
    ("please show me studies with {a} that do not have {b}", ("present", "absent")),
    ("possible {a}, no {b}", ("uncertain", "absent")),
    ("no {a}, {b}", ("absent", "present")),
    ("{a}, no {b}, {c}", ("present", "absent", "present")),
    ("{a} without {b} or {c}", ("present", "absent", "absent")),
    ("{a} and {b}, no {c}", ("present", "present", "absent")),
    ("no {a}, {b}, or {c}", ("absent", "absent", "absent")),
]
"""How people ask, and what each of the findings is asked as."""


def composed(chance: random.Random) -> Query:
    """A query from its parts."""
    codes = [code for code in printed_names() if code]
    wanted: list[Wanted] = []
    while len(wanted) < chance.randint(1, 6):
        code = chance.choice(codes) if chance.random() < 0.9 else ""
        side = chance.choice([None, None, "left", "right", "bilateral"])
        place = chance.choice([None, None, *places_within()])
        if (one := Wanted(code, side, place)) != Wanted() and one not in wanted:  # type: ignore[arg-type]
            wanted.append(one)
    groups: dict[str, list[Wanted]] = {name: [] for name in GROUPS}
    for one in wanted:
        groups[chance.choices(GROUPS, [4, 3, 1, 2])[0]].append(one)
    words = chance.sample(
        ["smoker", "dextrocardia", "no", "effusion", "post-operative", "tuberculosis"], chance.choice([0, 0, 1, 2])
    )
    return Query(**{name: tuple(found) for name, found in groups.items()}, words=tuple(words))  # type: ignore[arg-type]


def asked(chance: random.Random) -> tuple[str, dict[str, list[str]]]:
    """A question as people ask, and the codes that it asks for by group."""
    turn, kinds = chance.choice(TURNS)
    codes = chance.sample(list(NOUNS), len(kinds))
    words = {letter: chance.choice(NOUNS[code]) for letter, code in zip("abc", codes, strict=False)}
    if chance.random() < 0.3 and "enlarged" not in words["a"]:
        words["a"] = f"{chance.choice(['left', 'right', 'bilateral', 'small', 'RLL', 'large'])} {words['a']}"
    meant: dict[str, list[str]] = {name: [] for name in GROUPS}
    for code, kind in zip(codes, kinds, strict=True):
        meant[kind].append(code)
    return turn.format(**words), meant


def again(query: Query) -> Query:
    """The query printed and read, under the text that it came from."""
    return Query.read(query.question()).with_options(text=query.text)


def measure(questions: int = QUESTIONS, seed: int = SEED) -> dict[str, Any]:
    chance = random.Random(seed)
    roundtrip: list[dict[str, str]] = []
    polarity: list[dict[str, Any]] = []
    for number in range(questions):
        if number % 2:
            query = composed(chance)
        else:
            text, meant = asked(chance)
            query = Query.read(text)
            read = {name: sorted(each.finding for each in getattr(query, name)) for name in GROUPS}
            if read != {name: sorted(codes) for name, codes in meant.items()}:
                polarity.append({"question": text, "meant": meant, "read": read})
        if again(query) != query:
            roundtrip.append({"printed": query.question(), "read": again(query).question()})
    return {"questions": questions, "roundtrip_errors": len(roundtrip), "polarity_errors": len(polarity),
            "examples": [*roundtrip, *polarity][:20]}  # fmt: skip


def main() -> None:
    result = measure()
    body = {
        "seed": SEED,
        "rules_version": rules_version(),
        "findings": len(search_findings()),
        "turns": len(TURNS),
        **result,
    }
    entries = {
        f"question_{name}": {"value": result[name], "n": QUESTIONS, "unit": "questions"}
        for name in ("roundtrip_errors", "polarity_errors")
    }
    write_result("questions", body, entries)
    sys.stdout.write(f"{ {name: value for name, value in result.items() if name != 'examples'} }\n")


if __name__ == "__main__":
    main()
