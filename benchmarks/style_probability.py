"""How far the model's answer to the same facts moves with the manner in which a report is written.

Usage:  python benchmarks/style_probability.py

Reports of made-up sentences, each in several styles, are read in text mode by the checkpoint that ships; the answer to
the plain paragraph is the measure. A second family plants one finding at the end of a long report, with all sentences
around it denials or empty of findings, and compares it with the answer to the sentence alone.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence

import numpy as np

from lingula.analysis import predict
from lingula.model.checkpoint import Checkpoint, load_checkpoint
from lingula.reading.study_reader import read_study
from machine import write_result

REPORTS, SEED, WITHIN = 40, 0, 0.02
FACTS = (
    ("pleural effusion", "small left", True), ("pneumothorax", "", False), ("cardiomegaly", "mild", True),
    ("pulmonary edema", "", True), ("atelectasis", "bibasilar", True), ("consolidation", "", False),
    ("pneumonia", "", False), ("hiatal hernia", "large", True), ("emphysema", "", True), ("rib fracture", "", False),
)  # fmt: skip
FILLER = (
    "The trachea is midline.", "There is no pleural thickening.", "The aorta is normal in caliber.",
    "The soft tissues are unremarkable.", "No radiopaque foreign body is seen.", "The hila are unremarkable.",
    "The bony thorax is intact.", "Comparison is made with the prior examination.", "No free air is seen.",
    "The right hemidiaphragm is in its usual position.", "PA and lateral views of the chest were obtained.",
)  # fmt: skip
PLANTED = {
    "pleural_effusion": "Large left pleural effusion.", "cardiomegaly": "Moderate cardiomegaly.",
    "pulmonary_edema": "Pulmonary edema.", "pneumothorax": "Small right apical pneumothorax.",
    "atelectasis": "Bibasilar atelectasis.", "hernia": "Large hiatal hernia.", "fracture": "Right rib fracture.",
    "granuloma": "Calcified granuloma.", "degenerative_spine": "Degenerative changes of the thoracic spine.",
}  # fmt: skip

Facts = Sequence[tuple[str, str, bool]]


def sentence(fact: tuple[str, str, bool]) -> str:
    name, how, present = fact
    words = f"{how} {name}".strip() if present else f"no {name}"
    return words[0].upper() + words[1:]


def _answer(fact: tuple[str, str, bool]) -> str:
    return (fact[1].capitalize() or "Yes") if fact[2] else "No"


def _row(separator: str) -> Callable[[Facts], str]:
    return lambda facts: "\n".join(f"{f[0].capitalize()}{separator}{_answer(f)}" for f in facts)


def _joined(separator: str, end: str = "") -> Callable[[Facts], str]:
    return lambda facts: separator.join(map(sentence, facts)) + end


STYLES: dict[str, Callable[[Facts], str]] = {
    "lines": _joined("\n"),
    "lines with stops": _joined(".\n", "."),
    "double spaced": _joined("\n\n"),
    "bullets": lambda facts: "\n".join(f"- {sentence(f)}" for f in facts),
    "numbered": lambda facts: "\n".join(f"{n}. {sentence(f)}" for n, f in enumerate(facts, 1)),
    "headed": lambda facts: "## Findings\n\n" + "\n".join(map(sentence, facts)),
    "table, colons": _row(": "),
    "table, tabs": _row("\t"),
    "capitals": lambda facts: _joined(". ", ".")(facts).upper(),
    "capitals, lines": lambda facts: _joined("\n")(facts).upper(),
    "British": lambda facts: _joined(". ", ".")(facts).replace("edema", "oedema"),
    "no last stop": _joined(". "),
    "numbered inline": lambda facts: " ".join(f"{n}. {sentence(f)}." for n, f in enumerate(facts, 1)),
    "semicolons": _joined("; ", "."),
}


def probabilities(checkpoint: Checkpoint, text: str) -> np.ndarray:
    """(L,) calibrated, of a text."""
    return np.array([p.probability for p in predict(read_study([], text=text), checkpoint)])


def styles(checkpoint: Checkpoint, reports: int = REPORTS, seed: int = SEED) -> dict[str, dict[str, float]]:
    """By style: the largest difference of any label's probability, its 95th percentile over reports, and the share of
    reports within ``WITHIN``."""
    chance = random.Random(seed)
    written = [chance.sample(FACTS, chance.randint(3, 7)) for _ in range(reports)]
    plain = np.array([probabilities(checkpoint, _joined(". ", ".")(facts)) for facts in written])
    measured = {}
    for name, style in STYLES.items():
        moved = np.abs(np.array([probabilities(checkpoint, style(facts)) for facts in written]) - plain).max(1)
        measured[name] = {
            "most": round(float(moved.max()), 4),
            "p95": round(float(np.quantile(moved, 0.95)), 4),
            "within": round(float((moved <= WITHIN).mean()), 3),
        }
    return measured


def planted(checkpoint: Checkpoint, seed: int = SEED) -> dict[str, float]:
    """A finding alone against the same at the end of 40 to 160 sentences that name none present."""
    chance, shares = random.Random(seed), []
    codes = checkpoint.vocabulary.codes
    for code, words in PLANTED.items():
        alone = probabilities(checkpoint, words)[codes.index(code)]
        for count in (40, 80, 160):
            around = " ".join(chance.choices(FILLER, k=count))
            for text in (f"FINDINGS: {around} {words}", f"FINDINGS: {around}\n\nIMPRESSION: {words}"):
                shares.append(probabilities(checkpoint, text)[codes.index(code)] >= alone - 0.05)
    return {"share": round(float(np.mean(shares)), 3), "n": len(shares)}


def main() -> None:
    checkpoint = load_checkpoint("compact")
    measured, long = styles(checkpoint), planted(checkpoint)
    told = [row["within"] for row in measured.values()]
    entries = {
        "style_within": {
            "value": round(float(np.mean(told)), 3), "n": REPORTS * len(STYLES),
            "unit": f"share of reports in a style whose probabilities move by at most {WITHIN}",
        },
        "long_report_findings": {
            "value": long["share"], "n": long["n"],
            "unit": "share of findings in long reports at no less than the probability alone, within .05",
        },
    }  # fmt: skip
    write_result("style_probability", {"seed": SEED, "styles": measured, "long": long}, entries)
    for name, row in measured.items():
        sys.stdout.write(f"{name:18} most {row['most']:.3f}  p95 {row['p95']:.3f}  within {row['within']:.2f}\n")
    sys.stdout.write(f"long reports: {long}\n")


if __name__ == "__main__":
    main()
