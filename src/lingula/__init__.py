"""lingula: similar chest X-ray studies, findings and the evidence. Education and research, never diagnosis.

>>> import lingula                                              # doctest: +SKIP
>>> study = lingula.read_study("chest.dcm")                     # doctest: +SKIP
>>> model = lingula.load_checkpoint("compact")                  # doctest: +SKIP
>>> library = lingula.Library.open("library.sqlite")            # doctest: +SKIP
>>> answer = lingula.analyze(study, model, library)             # doctest: +SKIP
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lingula.deferred import deferred

if TYPE_CHECKING:
    from lingula.analysis import analyze, predict, search
    from lingula.errors import InputError, LibraryError, LingulaError, ModelError
    from lingula.explanation import explain
    from lingula.explanation.comparison import Why, why
    from lingula.library import Library, ReadyGallery
    from lingula.model.checkpoint import Checkpoint, load_checkpoint
    from lingula.model.encode import embed
    from lingula.page import write_page
    from lingula.reading.study_reader import read_study
    from lingula.retrieval import Answer, Query
    from lingula.study import Analysis, Explanation, Neighbour, Prediction, Radiograph, Report, Study

__version__ = "0.1.0"

logging.getLogger("lingula").addHandler(logging.NullHandler())

_HOME = {
    "analysis": ("analyze", "predict", "search"),
    "errors": ("InputError", "LibraryError", "LingulaError", "ModelError"),
    "explanation": ("explain",),
    "explanation.comparison": ("Why", "why"),
    "library": ("Library", "ReadyGallery"),
    "model.checkpoint": ("Checkpoint", "load_checkpoint"),
    "model.encode": ("embed",),
    "page": ("write_page",),
    "reading.study_reader": ("read_study",),
    "retrieval": ("Answer", "Query"),
    "study": ("Analysis", "Explanation", "Neighbour", "Prediction", "Radiograph", "Report", "Study"),
}

__all__ = [
    "Analysis",
    "Answer",
    "Checkpoint",
    "Explanation",
    "InputError",
    "Library",
    "LibraryError",
    "LingulaError",
    "ModelError",
    "Neighbour",
    "Prediction",
    "Query",
    "Radiograph",
    "ReadyGallery",
    "Report",
    "Study",
    "Why",
    "analyze",
    "embed",
    "explain",
    "load_checkpoint",
    "predict",
    "read_study",
    "search",
    "why",
    "write_page",
]


__getattr__ = deferred(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
