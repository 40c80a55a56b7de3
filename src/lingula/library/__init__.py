"""The searchable library of studies: durable records in SQL, one ranking.

Needs no model and no torch: whoever encodes a study passes its embeddings in as arrays.
"""

from lingula.library.conditions import Aged, AnyOf, Asserts, Coded, Condition, Labelled, Not, Reported, Says, Shows
from lingula.library.engines import FaissFlat, FaissQuantised, Index, NumpyExact
from lingula.library.library import Library
from lingula.library.record import (
    Entry,
    LibraryStatus,
    Outcome,
    Refusal,
    ShownImage,
    StoredRadiograph,
    StudyRecord,
    Summary,
)  # fmt: skip
from lingula.library.vectors import Gallery

__all__ = [
    "Aged", "AnyOf", "Asserts", "Coded", "Condition", "Entry", "FaissFlat", "FaissQuantised", "Gallery", "Index",
    "Labelled", "Library", "LibraryStatus", "Not", "NumpyExact", "Outcome", "Refusal", "Reported", "Says", "ShownImage",
    "Shows", "StoredRadiograph", "StudyRecord", "Summary",
]  # fmt: skip
