"""The Open-i collection (Indiana University chest X-rays, Demner-Fushman et al. 2016): fetch, read, pair and load."""

from typing import TYPE_CHECKING

from lingula.deferred import deferred

if TYPE_CHECKING:
    from lingula.openi.collection import Collection as Collection
    from lingula.openi.collection import ImageFile as ImageFile
    from lingula.openi.collection import Refused as Refused
    from lingula.openi.collection import StudyFiles as StudyFiles
    from lingula.openi.collection import scan as scan
    from lingula.openi.loading import load as load
    from lingula.openi.loading import load_many as load_many

__getattr__, __all__ = deferred(
    __name__,
    {
        "collection": ("Collection", "ImageFile", "Refused", "StudyFiles", "scan"),
        "loading": ("load", "load_many"),
    },
)
