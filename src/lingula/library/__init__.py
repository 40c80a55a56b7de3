"""The searchable library of studies: durable records in SQL, one ranking.

Needs no model and no torch: whoever encodes a study passes its embeddings in as arrays.
"""

from typing import TYPE_CHECKING

from lingula.deferred import deferred

if TYPE_CHECKING:
    from lingula.library.conditions import Aged as Aged
    from lingula.library.conditions import AnyOf as AnyOf
    from lingula.library.conditions import Asserts as Asserts
    from lingula.library.conditions import Coded as Coded
    from lingula.library.conditions import Condition as Condition
    from lingula.library.conditions import Labelled as Labelled
    from lingula.library.conditions import Not as Not
    from lingula.library.conditions import Reported as Reported
    from lingula.library.conditions import Says as Says
    from lingula.library.conditions import Shows as Shows
    from lingula.library.engines import FaissQuantised as FaissQuantised
    from lingula.library.engines import Index as Index
    from lingula.library.engines import NumpyExact as NumpyExact
    from lingula.library.library import Library as Library
    from lingula.library.record import Entry as Entry
    from lingula.library.record import LibraryStatus as LibraryStatus
    from lingula.library.record import Outcome as Outcome
    from lingula.library.record import Refusal as Refusal
    from lingula.library.record import ShownImage as ShownImage
    from lingula.library.record import StoredRadiograph as StoredRadiograph
    from lingula.library.record import StudyRecord as StudyRecord
    from lingula.library.record import Summary as Summary
    from lingula.library.shipped_gallery import ReadyGallery as ReadyGallery
    from lingula.library.vectors import Gallery as Gallery

__getattr__, __all__ = deferred(
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
