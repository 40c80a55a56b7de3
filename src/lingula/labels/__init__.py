"""What a study can be said to show: vocabularies of labels over human MeSH coding, and assertions read from text."""

from lingula.labels.assertions import FOUND, Assertion, polarity, read_assertions
from lingula.labels.findings import Finding, label_of, search_findings
from lingula.labels.laterality import laterality
from lingula.labels.vocabulary import Label, Vocabulary

__all__ = [
    "FOUND", "Assertion", "Finding", "Label", "Vocabulary", "label_of", "laterality", "polarity", "read_assertions",
    "search_findings",
]  # fmt: skip
