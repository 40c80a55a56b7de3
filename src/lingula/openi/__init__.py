"""The Open-i collection (Indiana University chest X-rays, Demner-Fushman et al. 2016): fetch, read, pair and load."""

from lingula.openi.collection import Collection, ImageFile, Refused, StudyFiles, scan
from lingula.openi.loading import load, load_many
from lingula.reading.report_openi import OpeniReport, read_report

__all__ = [
    "Collection",
    "ImageFile",
    "OpeniReport",
    "Refused",
    "StudyFiles",
    "load",
    "load_many",
    "read_report",
    "scan",
]
