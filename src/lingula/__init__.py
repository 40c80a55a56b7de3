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
    from lingula.analysis import analyze as analyze
    from lingula.analysis import predict as predict
    from lingula.analysis import search as search
    from lingula.errors import InputError as InputError
    from lingula.errors import LibraryError as LibraryError
    from lingula.errors import LingulaError as LingulaError
    from lingula.errors import ModelError as ModelError
    from lingula.explanation import explain as explain
    from lingula.explanation.comparison import Why as Why
    from lingula.explanation.comparison import why as why
    from lingula.library import Library as Library
    from lingula.library import ReadyGallery as ReadyGallery
    from lingula.model.checkpoint import Checkpoint as Checkpoint
    from lingula.model.checkpoint import load_checkpoint as load_checkpoint
    from lingula.model.encode import embed as embed
    from lingula.page import write_page as write_page
    from lingula.reading.study_reader import read_study as read_study
    from lingula.retrieval import Answer as Answer
    from lingula.retrieval import Query as Query
    from lingula.study import Analysis as Analysis
    from lingula.study import Explanation as Explanation
    from lingula.study import Neighbour as Neighbour
    from lingula.study import Prediction as Prediction
    from lingula.study import Radiograph as Radiograph
    from lingula.study import Report as Report
    from lingula.study import Study as Study

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

__getattr__, __all__ = deferred(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
