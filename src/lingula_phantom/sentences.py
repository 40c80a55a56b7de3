"""Reports for phantom studies: a grammar (``sentences.json``) states what was drawn and denies what was
not."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from lingula_phantom.case import PhantomCase
from lingula_phantom.findings import DEGREES, SIZES, PhantomFinding

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_KEPT = frozenset(("without", "there", "neither", "right", "left", "both", "with", "small", "large"))
# a normal remark may stand only where none of these is present
_CONTRADICTED_BY = {
    "heart": ("cardiomegaly", "pacemaker"),
    "mediastinum": ("tortuous_aorta", "congestion", "cardiomegaly"),
    "lungs": ("airspace_disease", "opacity", "nodule", "granuloma", "atelectasis", "hyperinflation", "hypoinflation",
              "congestion", "effusion", "pneumothorax"),
    "pleura": ("effusion", "pneumothorax", "elevated_diaphragm"),
    "bones": ("rib_fracture", "scoliosis", "degenerative_spine"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wording:
    """The four sections of a report; an empty string is a section left out."""

    comparison: str
    indication: str
    findings: str
    impression: str


class Writer:
    """Chooses and fills sentences; one for a whole collection."""

    def __init__(self) -> None:
        self._grammar: dict[str, Any] = json.loads((resources.files(__package__) / "sentences.json").read_bytes())

    def report(self, case: PhantomCase, rng: np.random.Generator) -> Wording:
        """Sections that agree with the findings drawn; some words masked by XXXX, at times no findings section."""
        grammar, kinds = self._grammar, {finding.kind for finding in case.findings}
        said = [self._say(grammar["finding"][finding.kind], rng, finding) for finding in case.findings]
        normal = [
            self._say(choices, rng)
            for topic, choices in grammar["normal"].items()
            if kinds.isdisjoint(_CONTRADICTED_BY[topic])
        ]
        if kinds:
            denied = [kind for kind in grammar["negative"] if kind not in kinds and rng.random() < 0.35]
            if "opacity" in kinds and "airspace_disease" in denied:
                denied.remove("airspace_disease")  # an opacity leaves that open
            said += [self._say(grammar["negative"][kind], rng) for kind in denied]
            concluded = [self._say(grammar["impression"][finding.kind], rng, finding) for finding in case.findings]
            concluded += [self._say(grammar["no_acute"], rng)] if rng.random() < 0.4 else []
            if len(concluded) > 1 and rng.random() < 0.5:
                concluded = [f"{i}. {sentence}" for i, sentence in enumerate(concluded, 1)]
        else:
            concluded = [self._say(grammar["normal_impression"], rng)]
        findings = " ".join(filter(None, (said[i] for i in rng.permutation(len(said)))))
        findings = " ".join(filter(None, (findings, *(normal[i] for i in rng.permutation(len(normal))))))
        date = f"{rng.integers(1, 13)}/{rng.integers(1, 29)}/{rng.integers(2009, 2013)}"
        return Wording(
            self._say(grammar["comparison"], rng, date="XXXX" if rng.random() < 0.6 else date),
            _mask(self._say(grammar["indication"], rng, age=case.patient.age), rng),
            "" if rng.random() < 0.1 else _mask(findings, rng),
            " ".join(concluded),
        )

    def _say(
        self, choices: list[str], rng: np.random.Generator, finding: PhantomFinding | None = None, **words: object
    ) -> str:
        text = choices[rng.integers(len(choices))]
        while found := _CHOICE.search(text):
            options = found[1].split("|")
            text = text[: found.start()] + options[rng.integers(len(options))] + text[found.end() :]
        if finding:
            words |= {"side": finding.side, "size": SIZES[finding.severity], "degree": DEGREES[finding.severity]}
            lobe = f"{finding.side} {finding.zone}"
            words["zone"] = "lingula" if finding.zone == "lingula" else lobe.replace("base", "lung base")
        text = " ".join(text.format(**words).split()).replace(" .", ".").replace(" ,", ",")
        return _plural(text)[:1].upper() + _plural(text)[1:]


def _plural(text: str) -> str:
    """Bilateral findings have no article and stand in the plural where they can be counted."""
    text = re.sub(r"\b(?:[Tt]here is a|A|a) (\w+ )?bilateral (pleural )?effusion\b", r"\1bilateral \2effusions", text)
    return text.replace("the bilateral base", "both bases").replace(
        "bilateral pleural space", "pleural space on both sides"
    )


def _mask(text: str, rng: np.random.Generator) -> str:
    """Blank a word now and then, as the de-identification of the real collection does."""
    words = text.split()
    for i, word in enumerate(words):
        if word.isalpha() and word.islower() and len(word) > 3 and word not in _KEPT and rng.random() < 0.012:
            words[i] = "XXXX"
    return " ".join(words)
