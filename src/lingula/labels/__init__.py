"""What a study can be said to show: vocabularies of labels over human MeSH coding, and assertions read from text."""

from lingula.labels.assertions import Assertion, polarity, read_assertions
from lingula.labels.laterality import laterality
from lingula.labels.vocabulary import Label, Vocabulary

__all__ = ["Assertion", "Label", "Vocabulary", "laterality", "polarity", "read_assertions"]
