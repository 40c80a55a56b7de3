"""lingula: similar chest X-ray studies, findings and the evidence. Education and research, never diagnosis.

>>> import lingula                                              # doctest: +SKIP
>>> study = lingula.read_study(["chest.dcm"])                   # doctest: +SKIP
>>> model = lingula.load_checkpoint("compact")                  # doctest: +SKIP
>>> library = lingula.Library.open("library.sqlite")            # doctest: +SKIP
>>> answer = lingula.analyze(study, model, library)             # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lingula.analysis import analyze, predict, search
    from lingula.errors import InputError, LibraryError, LingulaError, ModelError
    from lingula.explanation import explain
    from lingula.library import Library
    from lingula.model.checkpoint import load_checkpoint
    from lingula.page import write_page
    from lingula.reading.study_reader import read_study
    from lingula.retrieval import Answer, Query, ReadyGallery
    from lingula.study import Analysis, Explanation, Neighbour, Prediction, Radiograph, Report, Study

__version__ = "0.1.0"

_HOME = {
    "analyze": "analysis", "predict": "analysis", "search": "analysis",
    "InputError": "errors", "LibraryError": "errors", "LingulaError": "errors", "ModelError": "errors",
    "explain": "explain", "Library": "library", "load_checkpoint": "models.checkpoint", "write_page": "page",
    "read_study": "read", "Answer": "retrieval", "Query": "retrieval", "ReadyGallery": "retrieval",
    "Analysis": "study", "Explanation": "study", "Neighbour": "study", "Prediction": "study",
    "Radiograph": "study", "Report": "study", "Study": "study",
}  # fmt: skip

__all__ = [
    "Analysis", "Answer", "Explanation", "InputError", "Library", "LibraryError", "LingulaError", "ModelError",
    "Neighbour", "Prediction", "Query", "Radiograph", "ReadyGallery", "Report", "Study", "analyze", "explain",
    "load_checkpoint", "predict", "read_study", "search", "write_page",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Public names are imported when first used: torch takes seconds, reading a file does not need it."""
    if name not in _HOME:
        raise AttributeError(f"module 'lingula' has no attribute {name!r}")
    return getattr(import_module(f"lingula.{_HOME[name]}"), name)
