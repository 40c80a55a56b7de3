"""The tables that may come with the images: facts that an image's own file lacks or has wrong.

``indiana_projections.csv`` gives the view (DICOM's View Position is wrong or absent in half of the collection),
``images.csv`` the true rows and columns of images that were squashed to a square, ``nlmcxr_dicom_metadata.csv.gz`` the
dates. Each is optional; an image no table mentions has an unknown view.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from lingula.errors import InputError
from lingula.reading.limits import Limits
from lingula.study import View

_VIEWS: dict[str, View] = {"frontal": "frontal", "lateral": "lateral"}


@dataclass(frozen=True, slots=True)
class Facts:
    """The tables' facts about one image.

    Attributes:
        view: by eye, from the projection table.
        rows, columns: of the original, or None.
        birth_date, study_date: YYYYMMDD or empty.
    """

    view: View = "unknown"
    rows: int | None = None
    columns: int | None = None
    birth_date: str = field(default="", repr=False)
    study_date: str = field(default="", repr=False)


class Tables:
    """Facts by image key, filled table by table."""

    def __init__(self) -> None:
        self._facts: dict[str, Facts] = {}

    def of(self, key: str) -> Facts:
        return self._facts.get(key, Facts())

    def add(self, path: Path, limits: Limits) -> bool:
        """Take in a table, known by its name; False when it is not one of the three.

        Raises:
            InputError: unsupported_format when it lacks its columns or is not a table.
        """
        name = path.name.lower().removesuffix(".gz")
        if name not in _READERS:
            return False
        identifier, reader = _READERS[name]
        added: dict[str, Facts] = {}
        try:
            for row in _rows(path, limits.file_bytes):
                key = image_key(row[identifier])
                added[key] = reader(self.of(key), row)
        except (KeyError, AttributeError, ValueError, OverflowError, csv.Error, OSError, EOFError, zlib.error) as error:
            raise InputError("unsupported_format", f"{path.name} is not the table of that name: {error!r}.") from error
        self._facts |= added
        return True


def image_key(name: str) -> str:
    """What an image is called in every table, report and file: ``1000_IM-0003-1001``.

    Takes off a ``CXR`` prefix and the suffix; study 1 is ``CXR1_1_IM-...`` in its report and ``1_IM-...`` elsewhere.
    """
    stem = re.sub(r"(\.(dcm|png|jpe?g))+$", "", name.strip(), flags=re.IGNORECASE)
    return re.sub(r"^(?:CXR)?(\d+)_(?:\1_)?", r"\1_", stem, flags=re.IGNORECASE).upper()


def _rows(path: Path, limit: int) -> Iterator[dict[str, str]]:
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"more than {limit} bytes")
    yield from csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)


def _projection(facts: Facts, row: dict[str, str]) -> Facts:
    return replace(facts, view=_VIEWS.get(row["projection"].strip().lower(), "unknown"))


def _size(facts: Facts, row: dict[str, str]) -> Facts:
    if not row["rows"] or not row["cols"]:
        return facts
    rows, columns = int(float(row["rows"])), int(float(row["cols"]))
    if min(rows, columns) < 1:
        raise ValueError(f"an image of {rows} rows and {columns} columns")
    return replace(facts, rows=rows, columns=columns)


def _dates(facts: Facts, row: dict[str, str]) -> Facts:
    return replace(facts, birth_date=_date(row["Patient's Birth Date"]), study_date=_date(row["Study Date"]))


def _date(text: str) -> str:
    return text if re.fullmatch(r"\d{8}", text) else ""


_READERS = {
    "indiana_projections.csv": ("filename", _projection),
    "images.csv": ("image_id", _size),
    "nlmcxr_dicom_metadata.csv": ("imageid", _dates),
}
