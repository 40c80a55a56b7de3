"""The Open-i collection (Indiana University chest X-rays, Demner-Fushman et al. 2016): fetch, read, pair and load."""

from typing import TYPE_CHECKING

from lingula.deferred import deferred

if TYPE_CHECKING:
    from lingula.openi.collection import Collection, ImageFile, Refused, StudyFiles, scan
    from lingula.openi.loading import load, load_many

__all__ = ["Collection", "ImageFile", "Refused", "StudyFiles", "load", "load_many", "scan"]

__getattr__ = deferred(
    __name__,
    {
        "collection": ("Collection", "ImageFile", "Refused", "StudyFiles", "scan"),
        "loading": ("load", "load_many"),
    },
)
