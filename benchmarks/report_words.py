"""What becomes of reports on their way into a library: names that are planted, words that are not to change.

    python benchmarks/report_words.py [REPORTS.jsonl [SEED]]

The collection's reports (``reports.jsonl``: comparison, indication, findings, impression) name nobody: each that is
changed is a false alarm. Then each gets a header of a made-up patient, and ten identifiers in forms that reports have:
four of the header (two of the patient's name, record and accession number), six that only their form gives away
(titled physicians, signatures, dates, telephone numbers, addresses). Every fifth name is also a word of reports
("Small", "Hill"). Counted: identifiers still there, and reports whose findings are read otherwise than before.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from lingula.labels.assertions import read_assertions
from lingula.labels.identifiers import Names
from lingula.study import Report
from machine import write_result

DEFAULT = Path("shared/data/openi/reports.jsonl")
PARTS = ("comparison", "indication", "findings", "impression")
FIRST = (
    "Aldo",
    "Berta",
    "Cosima",
    "Dorian",
    "Edith",
    "Fabian",
    "Greta",
    "Hénrik",
    "Irmgard",
    "Jonas",
    "Li",
    "Mary-Ann",
)
LAST = ("Quandt", "Wexford", "Zabrowski", "Ybarra", "Xanthos", "Uhlenbröck", "O'Brien", "Okonkwo", "Ng", "Smith-Jones")
COMMON = ("Small", "Hill", "White", "Long", "Brown", "Stone")
MONTHS = ("January", "Feb", "March", "Apr", "May", "June", "July", "Aug", "September", "Oct", "November", "Dec")
Planted = list[tuple[str, str]]


def person(rng: np.random.Generator) -> tuple[str, str]:
    return str(rng.choice(COMMON if rng.random() < 0.2 else LAST)), str(rng.choice(FIRST))


def planted(rng: np.random.Generator) -> tuple[list[str], Planted]:
    """Values of a header; sentences, each with what must not be left of it."""
    last, first = person(rng)
    number, accession = f"{rng.integers(10**4, 10**7)}", f"A{rng.integers(10**3, 10**6)}-{rng.integers(10, 99)}"
    doctor, other = person(rng), person(rng)
    day, month, year = int(rng.integers(1, 29)), int(rng.integers(1, 13)), int(rng.integers(1930, 2025))
    date = str(rng.choice([
        f"{month:02}/{day:02}/{year}", f"{day}.{month}.{year}", f"{year}-{month:02}-{day:02}",
        f"{month}/{day}/{year % 100:02}",
        f"{day} {MONTHS[month - 1]} {year}", f"{MONTHS[month - 1]} {day}, {year}", f"{month:02}/{year}",
    ]))  # fmt: skip
    phone = str(rng.choice(["555-{0}", "(317) 555-{0}", "+49 30 555{0}", "317.555.{0}"])).format(
        rng.integers(1000, 9999)
    )
    named = str(rng.choice([f"{first} {last}", f"{last}, {first}", f"Mrs. {last}", f"{last.upper()} {first.upper()}"]))
    kept = [str(rng.choice([f"Dr. {doctor[0]}", f"Dr {doctor[1]} {doctor[0]}", f"{doctor[1]} {doctor[0]}, MD"]))]
    signed = str(rng.choice(["Electronically signed by: ", "Dictated by ", "Reported by: ", "Discussed with "]))
    return [f"{last}^{first}", number, accession], [
        (f"{named} was examined.", named), (f"Seen with {first} {last}.", f"{first} {last}"),
        (f"File {number}.", number), (f"Request {accession}.", accession),
        (f"Copy for {kept[0]}.", kept[0].removeprefix("Dr. ").removeprefix("Dr ").removesuffix(", MD")),
        (f"{signed}{other[1]} {other[0]}.", f"{other[1]} {other[0]}"), (f"Compared with {date}.", date),
        (f"Call {phone}.", phone), (f"Lives at {rng.integers(1, 999)} Elm Street.", "Elm Street"),
        (f"MRN: {number[::-1]}7.", f"{number[::-1]}7"),
    ]  # fmt: skip


def added(text: str, told: dict[str, str]) -> str:
    """A cleaned report without what it said before anything was planted."""
    for part in PARTS:
        text = text.replace(told[part] or "\0", "")
    return text


def findings(report: Report) -> Counter[tuple[str, str, str]]:
    return Counter((each.finding, each.polarity, each.side or "") for each in read_assertions(report))


def judge(told: dict[str, str], rng: np.random.Generator, left: Counter[str]) -> bool:
    """Plant into one report and clean it; whether its findings are read as before."""
    header, sentences = planted(rng)
    parts = {part: [told[part]] for part in PARTS if told[part]}
    for sentence, _ in sentences:
        parts[str(rng.choice(list(parts)))].append(sentence)
    given = Report.from_sections(**{part: " ".join(lines) for part, lines in parts.items()})
    plain = Report.from_sections(**{part: lines[0] for part, lines in parts.items()})
    cleaned, _ = Names(header).clean_report(given)
    for number, (_, mark) in enumerate(sentences):
        words = [word for word in re.findall(r"[\w.@/'’-]+", mark) if len(word) > 1 and word not in ("Mrs.", "MRN:")]
        left[f"{number}"] += any(
            re.search(rf"(?<!\w){re.escape(word)}(?!\w)", added(cleaned.text, told)) for word in words
        )
    return findings(cleaned) == findings(plain)


def wilson(count: int, of: int) -> tuple[float, float]:
    """95 % interval of a share."""
    z, p = 1.96, count / of
    middle, half = p + z * z / (2 * of), z * (p * (1 - p) / of + z * z / (4 * of * of)) ** 0.5
    return (middle - half) / (1 + z * z / of), (middle + half) / (1 + z * z / of)


def main() -> None:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 2026
    rng, by_form = np.random.default_rng(seed), Names(())
    reports = [json.loads(line) for line in file.read_text().splitlines()]
    reports = [told for told in reports if any(told[part] for part in PARTS)]
    changed = sum(
        by_form.clean_report(Report.from_sections(**{part: told[part] or "" for part in PARTS}))[1] > 0
        for told in reports
    )  # fmt: skip
    left: Counter[str] = Counter()
    alike = sum(judge(told, rng, left) for told in reports)
    count, total = sum(left.values()), 10 * len(reports)
    kinds = ("name", "name again", "record number", "accession", "physician", "signature", "date", "phone", "address",
             "labelled number")  # fmt: skip
    low, high = wilson(total - count, total)
    few, many = wilson(changed, len(reports))
    figures = {
        "reports": len(reports), "seed": seed, "changed": changed, "planted": total, "left": count,
        "left_by_kind": {kind: left[str(number)] for number, kind in enumerate(kinds)},
        "findings_as_before": alike / len(reports),
    }  # fmt: skip
    headline = {
        "report_identifiers_found": {"value": 1 - count / total, "unit": "share", "low": low, "high": high, "n": total},
        "reports_changed": {
            "value": changed / len(reports),
            "unit": "share",
            "low": few,
            "high": many,
            "n": len(reports),
        },
    }
    write_result("report_words", figures, headline)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
