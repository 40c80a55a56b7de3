"""The writing task on reports of the test split: what each mark says, and whether a planted edit is named.

    python benchmarks/writing.py NLMCXR_reports.tgz [--pairs 500]

A fifth of the pairs is a report against itself (all its findings must be found, nothing else said), a fifth a report
against another's (what must be said is read from the human coding of the two), and three fifths a report against itself
with one planted edit: a coded finding negated, its side flipped, or every sentence that names it left out. F1 is taken
for each (finding, mark): one that must be said and is, one that must and is not, one that is said and must not be; the
macro mean over the findings with at least ten expected marks is the headline. What either text holds for merely
possible is left out, as coders do not code it. An edit is named where its finding has
the mark that it should bring. Intervals are 95 % bootstrap intervals over pairs.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lingula.labels import Vocabulary, search_findings
from lingula.labels.assertions import FOUND, read_assertions
from lingula.labels.findings import label_of
from lingula.labels.sentences import sentences
from lingula.openi import scan
from lingula.openi.splits import Split
from lingula.study import Report
from lingula.teaching.writing import NORMAL, WritingMark, mark_impression
from machine import write_result

RESAMPLES, LEAST, SEED = 1000, 10, 0
NEGATIONS = ("No {}.", "There is no evidence of {}.", "Negative for {}.", "No definite {} is seen.")
CLAUSE = re.compile(r"\b(?:is|are|was|were|be|been|has|have|appears?|remains?|size|silhouette)\b", re.IGNORECASE)
Marks = frozenset[tuple[str, str]]
Wording = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Pair:
    """An impression, the report it is marked against, and what must be said of it."""

    kind: str
    written: Report
    reported: Report
    expected: Marks
    planted: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Coded:
    """A report and the labels that human coders gave it."""

    study_id: str
    report: Report
    labels: frozenset[str]


def coded_reports(path: Path) -> list[Coded]:
    """The coded reports of the test split, findings and impression only; normal is what has no finding coded."""
    vocabulary, ids = Vocabulary.load("openi22"), set(Split.load("openi-v1").test)
    found = []
    for files in scan(path):
        told = files.report
        if files.study_id in ids and told.terms and not told.report.is_empty:
            report = told.report.only("findings", "impression")
            if not report.is_empty:
                labels = frozenset(vocabulary.present(told.terms)) - {NORMAL}
                found.append(Coded(files.study_id, report, labels or frozenset([NORMAL])))
    return sorted(found, key=lambda each: each.study_id)


def itself(one: Coded) -> Marks:
    """What must be said of a report against itself: each coded label found."""
    return frozenset((label, "found") for label in one.labels)


def against(one: Coded, other: Coded) -> Marks:
    """What must be said of a report against another's, by the coding of both."""
    marks = {(label, "found") for label in one.labels & other.labels}
    marks |= {(label, "missed") for label in other.labels - one.labels}
    return frozenset(marks | {(label, "invented") for label in one.labels - other.labels})


def edited(one: Coded, label: str, kind: str, rng: np.random.Generator) -> Report | None:
    """The report with one edit; None where it cannot be made: no sentence, or no side, to change."""
    about = [each for each in read_assertions(one.report) if label_of(each.finding) == label]
    asserts = [each for each in about if each.polarity in FOUND and not each.past]
    if not asserts or any(each.polarity == "uncertain" for each in about):
        return None
    words = one.report.text[asserts[0].start : asserts[0].end]
    if CLAUSE.search(words):  # "heart is enlarged": no noun, to be denied by its name
        words = Vocabulary.load("openi22")[label].name.lower()
    touched, parts = False, {}
    for section in one.report.sections:
        kept = []
        for span in sentences(one.report.text, section.start, section.end):
            text = one.report.text[span.start : span.end]
            if any(span.start <= each.start < span.end for each in asserts):
                changed = _changed(text, words, kind, rng)
                touched |= changed != text
                text = changed
            kept.append(text.strip())
        parts[section.name] = " ".join(filter(None, kept))
    made = Report.from_sections(**parts)
    return made if touched and not made.is_empty else None


def _changed(sentence: str, words: str, kind: str, rng: np.random.Generator) -> str:
    if kind == "dropped":
        return ""
    if kind == "negated":
        return NEGATIONS[int(rng.integers(len(NEGATIONS)))].format(words)
    swapped = {"left": "right", "right": "left"}

    def flip(found: re.Match[str]) -> str:
        word = swapped[found[0].lower()]
        return word.capitalize() if found[0][0].isupper() else word

    return re.sub(r"\b(?:left|right)\b", flip, sentence, flags=re.IGNORECASE)


def one_sided(one: Coded, label: str) -> bool:
    """Whether a finding has exactly one side in the report, wherever it has one."""
    sides = {each.side for each in read_assertions(one.report)
             if label_of(each.finding) == label and each.polarity in FOUND}  # fmt: skip
    return bool(sides & {"left", "right"}) and len(sides - {None}) == 1


PLANTED = {"negated": "missed", "flipped": "wrong_side", "dropped": "missed"}


def made_pairs(reports: Sequence[Coded], count: int, rng: np.random.Generator) -> list[Pair]:
    """The pairs: a fifth against itself, a fifth against another's, a fifth for each kind of edit."""
    pairs = []
    order = [reports[at] for at in rng.permutation(len(reports))]
    for at in range(count // 5):
        one, other = order[at % len(order)], order[(at + 1) % len(order)]
        pairs.append(Pair("itself", one.report, one.report, itself(one)))
        pairs.append(Pair("another's", one.report, other.report, against(one, other)))
    for kind, status in PLANTED.items():
        made = [edit for one in (reports[i] for i in rng.permutation(len(reports)))
                if (edit := _planted(one, kind, status, rng)) is not None]  # fmt: skip
        pairs += made[: count // 5]
    return pairs


def _planted(one: Coded, kind: str, status: str, rng: np.random.Generator) -> Pair | None:
    """A report with an edit of one coded finding against itself; None where none can be made."""
    labels = sorted(one.labels - {NORMAL})
    for at in rng.permutation(len(labels)):
        label = labels[at]
        if kind == "flipped" and not one_sided(one, label):
            continue
        if (written := edited(one, label, kind, rng)) is not None:
            return Pair(kind, written, one.report, frozenset({(label, status)}), (label, status))
    return None


def marks_of(pair: Pair, labels: frozenset[str]) -> tuple[Marks, frozenset[str], float]:
    """(label, mark) said of a pair, findings without a label left out; labels held for possible; milliseconds."""
    started = time.perf_counter()
    marks = mark_impression(pair.written, pair.reported)
    took = 1e3 * (time.perf_counter() - started)
    said = ((_label(each.finding), each.status) for each in marks)
    return frozenset(mark for mark in said if mark[0] in labels), _possible(marks), took


def _possible(marks: Sequence[WritingMark]) -> frozenset[str]:
    """Labels that either text holds for merely possible, which coders do not code."""
    return frozenset(_label(each.finding) for each in marks if "uncertain" in (each.written_as, each.reported_as))


def _label(finding: str) -> str:
    """The label of a finding, or of the one it is a kind of: a chest tube is a device."""
    known = search_findings()
    while finding in known and (wider := known[finding].kind_of):
        finding = wider
    return label_of(finding)


def f1_by_finding(counts: Sequence[dict[str, Counter[str]]]) -> dict[str, float]:
    """F1 of the marks of each finding that was expected often enough."""
    total: dict[str, Counter[str]] = defaultdict(Counter)
    for each in counts:
        for label, some in each.items():
            total[label].update(some)
    return {
        label: 2 * each["right"] / (2 * each["right"] + each["lacking"] + each["surplus"])
        for label, each in sorted(total.items())
        if each["right"] + each["lacking"] >= LEAST
    }


def counted(pair: Pair, said: Marks, possible: frozenset[str]) -> dict[str, Counter[str]]:
    """Marks right, lacking and surplus by finding, those held for possible left out; of a pair with an edit, those of
    the finding that was edited."""
    if pair.planted:
        said, possible = frozenset(mark for mark in said if mark[0] == pair.planted[0]), frozenset()
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for name, marks in (("right", said & pair.expected), ("lacking", pair.expected - said),
                        ("surplus", said - pair.expected)):  # fmt: skip
        for label, _ in marks:
            found[label][name] += label not in possible
    return dict(found)


def measured(pairs: Sequence[Pair], labels: frozenset[str], rng: np.random.Generator) -> dict[str, Any]:
    said, possible, took = zip(*(marks_of(pair, labels) for pair in pairs), strict=True)
    counts = [counted(*each) for each in zip(pairs, said, possible, strict=True)]
    named = np.array([pair.planted in marks for pair, marks in zip(pairs, said, strict=True) if pair.planted])
    macro, shares = [], []
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(pairs), size=len(pairs))
        macro.append(np.mean(list(f1_by_finding([counts[at] for at in drawn]).values())))
        shares.append(named[rng.integers(len(named), size=len(named))].mean())
    by_kind = {}
    for kind in dict.fromkeys(pair.kind for pair in pairs):
        rows = [at for at, pair in enumerate(pairs) if pair.kind == kind]
        f1 = f1_by_finding([counts[at] for at in rows])
        by_kind[kind] = {
            "pairs": len(rows),
            "f1_macro": round(float(np.mean(list(f1.values()))), 4) if f1 else None,
            "named": sum(pairs[at].planted in said[at] for at in rows) if pairs[rows[0]].planted else None,
        }
    by_finding = f1_by_finding(counts)
    missed = [(pair.kind, pair.planted) for pair, marks in zip(pairs, said, strict=True)
              if pair.planted and pair.planted not in marks]  # fmt: skip
    return {
        "pairs": len(pairs),
        "seed": SEED,
        "by_kind": by_kind,
        "f1_by_finding": {label: round(value, 4) for label, value in by_finding.items()},
        "writing_f1": _interval(float(np.mean(list(by_finding.values()))), macro),
        "planted_edits_named": {**_interval(float(named.mean()), shares), "n": len(named)},
        "edits_not_named": [[kind, *planted] for kind, planted in missed],
        "milliseconds": {f"p{q}": round(float(np.percentile(took, q)), 2) for q in (50, 95, 100)},
    }


def _interval(value: float, sampled: Sequence[float]) -> dict[str, float]:
    low, high = np.percentile(sampled, [2.5, 97.5])
    return {"value": round(value, 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path, help="The collection's folder or its archive of reports.")
    parser.add_argument("--pairs", type=int, default=500)
    given = parser.parse_args()
    rng, labels = np.random.default_rng(SEED), frozenset(Vocabulary.load("openi22").codes)
    reports = coded_reports(given.reports)
    body = measured(made_pairs(reports, given.pairs, rng), labels, rng)
    headline = {key: {**body[key], "unit": "share", "n": body["planted_edits_named"]["n"] if "edits" in key
                      else body["pairs"]} for key in ("writing_f1", "planted_edits_named")}  # fmt: skip
    headline["writing_p95_ms"] = {"value": body["milliseconds"]["p95"], "unit": "ms", "n": body["pairs"]}
    write_result("writing", {"reports": len(reports), "split": "test", **body}, headline)


if __name__ == "__main__":
    main()
