"""The searchable library of studies: durable records in SQL, vectors in memory, exact ranking.

Needs no model and no torch: whoever encodes a study passes its embeddings in as arrays.
"""

from lingula.library.index import FaissFlat, Index, NumpyExact
from lingula.library.library import Library
from lingula.library.record import Entry, LibraryStatus, Outcome, Refusal, StoredRadiograph, StudyRecord
from lingula.library.search import Gallery

__all__ = [
    "Entry", "FaissFlat", "Gallery", "Index", "Library", "LibraryStatus", "NumpyExact", "Outcome", "Refusal",
    "StoredRadiograph", "StudyRecord",
]  # fmt: skip
