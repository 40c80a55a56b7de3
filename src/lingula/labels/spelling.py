"""Proposals for words that are not understood: the nearest word that names a finding. Never taken for it unasked."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache

from lingula.labels.assertion_rules import load_rules
from lingula.labels.findings import search_findings
from lingula.labels.vocabulary import Vocabulary

LIKENESS = 0.8
"""Least share of equal characters (``difflib``) of a word and its proposal."""
SHORTEST = 5
"""Letters of a word for which there is a proposal."""


def proposal(word: str) -> str | None:
    """The word that may have been meant, in lower case; None where none is near enough."""
    if len(word) < SHORTEST:
        return None
    return next(iter(get_close_matches(word.lower(), _words(), n=1, cutoff=LIKENESS)), None)


@cache
def _words() -> tuple[str, ...]:
    """Single words that name a finding by themselves, from the names of findings and labels and from the rules."""
    names = [finding.name for finding in search_findings().values()]
    names += [label.name for label in Vocabulary.load("openi22").labels]
    words = {word for name in names for word in re.findall(r"[a-z]{5,}", name.lower())}
    rules = load_rules()
    return tuple(sorted(word for word in words | _COMMON if list(rules.mentions.finditer(word, 0, len(word)))))


_COMMON = frozenset(
    re.findall(
        r"\w+",
        """
        pneumothoraces effusions consolidations pneumonias nodules masses fractures infiltrates opacity opacities
        atelectatic emphysematous granulomas granulomatous scarring fibrosis congestion hyperinflation scoliosis
        kyphosis osteophytes hydropneumothorax hemothorax haemothorax oedema adenopathy lymphadenopathy
        pneumoperitoneum metastases pacemaker defibrillator tracheostomy sternotomy catheter mediport carcinoma
        malignancy bronchopneumonia atherosclerosis aneurysm eventration reticulation nodularity infiltration densities
        """,
    )
)
