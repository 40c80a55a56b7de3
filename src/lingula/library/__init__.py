"""The searchable library of studies: durable records in SQL, one ranking.

Needs no model and no torch: whoever encodes a study passes its embeddings in as arrays.
"""

from typing import TYPE_CHECKING

from lingula.deferred import deferred

if TYPE_CHECKING:
    from lingula.library.conditions import (
        Aged,
        AnyOf,
        Asserts,
        Coded,
        Condition,
        Labelled,
        Not,
        Reported,
        Says,
        Shows,
    )
    from lingula.library.engines import FaissQuantised, Index, NumpyExact
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
    )
    from lingula.library.shipped_gallery import ReadyGallery
    from lingula.library.vectors import Gallery

__getattr__ = deferred(
    __name__,
    {
        "conditions": (
            "Aged", "AnyOf", "Asserts", "Coded", "Condition", "Labelled", "Not", "Reported", "Says", "Shows",
        ),
        "engines": ("FaissQuantised", "Index", "NumpyExact"),
        "library": ("Library",),
        "record": (
            "Entry", "LibraryStatus", "Outcome", "Refusal", "ShownImage", "StoredRadiograph", "StudyRecord", "Summary",
        ),
        "shipped_gallery": ("ReadyGallery",),
        "vectors": ("Gallery",),
    },
)  # fmt: skip

__all__ = [
    "Aged",
    "AnyOf",
    "Asserts",
    "Coded",
    "Condition",
    "Entry",
    "FaissQuantised",
    "Gallery",
    "Index",
    "Labelled",
    "Library",
    "LibraryStatus",
    "Not",
    "NumpyExact",
    "Outcome",
    "ReadyGallery",
    "Refusal",
    "Reported",
    "Says",
    "ShownImage",
    "Shows",
    "StoredRadiograph",
    "StudyRecord",
    "Summary",
]
