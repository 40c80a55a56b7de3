"""From header elements to a ``Rendering``; damaged ones are left out with a notice."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from lingula.errors import Notice
from lingula.reading.dicom.elements import text
from lingula.reading.dicom.image_module import ImageHeader
from lingula.reading.dicom.pixels import BAD_MODALITY, BAD_WINDOW, Floats, Lut, Rendering, Window, WindowFunction


def read_rendering(dataset: Dataset, header: ImageHeader) -> tuple[Rendering, tuple[Notice, ...]]:
    """Modality LUT (PS3.3 C.11.1), VOI LUT (C.11.2), polarity, padding (C.7.5.1.1.2) and pixel aspect of a file."""
    notices: list[Notice] = []
    slope, intercept, modality = 1.0, 0.0, None
    if item := _first_item(dataset, "ModalityLUTSequence"):
        modality = _read_lut(item, header.signed)
        bad = modality is None
    else:
        slope, intercept, bad = _read_rescale(dataset)
    if bad:
        notices.append(BAD_MODALITY)

    item = _first_item(dataset, "VOILUTSequence")
    voi = _read_lut(item, signed=header.signed or intercept < 0 or slope < 0) if item else None
    window, bad = _read_window(dataset) if voi is None else (None, False)
    if bad or (item and voi is None):
        notices.append(BAD_WINDOW)

    # In the DX module INVERSE goes with MONOCHROME1 and says the same thing once more (PS3.3 C.8.11.3), so they do not
    # cancel out.
    inverted = header.photometric == "MONOCHROME1" or text(dataset, "PresentationLUTShape").upper() == "INVERSE"
    rendering = Rendering(
        modality, slope, intercept, voi, window, inverted, _read_padding(dataset, header), _read_aspect(dataset)
    )
    return rendering, tuple(notices)


def _numbers(dataset: Dataset, keyword: str) -> list[float] | None:
    """Finite numbers of an element, [] when it is absent or empty, None when it holds anything else."""
    if keyword not in dataset:
        return []
    try:
        value = dataset[keyword].value
        if value is None or value == "":
            return []
        numbers = [float(part) for part in (value if isinstance(value, (list, MultiValue)) else [value])]
    except Exception:  # pydicom converts on access and raises whatever the damaged value makes it raise
        return None
    return numbers if all(math.isfinite(number) for number in numbers) else None


def _read_rescale(dataset: Dataset) -> tuple[float, float, bool]:
    slopes, intercepts = _numbers(dataset, "RescaleSlope"), _numbers(dataset, "RescaleIntercept")
    if slopes == [] and intercepts == []:
        return 1.0, 0.0, False
    slope, intercept = (slopes or [1.0])[0], (intercepts or [0.0])[0]
    bad = slopes is None or intercepts is None or slope == 0 or max(abs(slope), abs(intercept)) > 1e12
    return (1.0, 0.0, True) if bad else (slope, intercept, False)


def _read_window(dataset: Dataset) -> tuple[Window | None, bool]:
    """The first window, and whether there was one that cannot be used."""
    centers, widths = _numbers(dataset, "WindowCenter"), _numbers(dataset, "WindowWidth")
    if centers == [] and widths == []:
        return None, False
    function = text(dataset, "VOILUTFunction").upper() or "LINEAR"
    if not centers or not widths or function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        return None, True
    center, width = centers[0], widths[0]
    if max(abs(center), width) > 1e12 or width <= 0 or (function == "LINEAR" and width < 1):
        return None, True
    return Window(center, width, cast(WindowFunction, function)), False


def _first_item(dataset: Dataset, keyword: str) -> Dataset | None:
    try:
        items = dataset[keyword].value if keyword in dataset else None
        return items[0] if items else None
    except Exception:  # as above
        return None


def _read_lut(item: Dataset, signed: bool) -> Lut | None:
    """The table of a LUT sequence's item; None when it is damaged.

    LUT Data (0028,3006) are 8- or 16-bit entries, whatever the VR they are written with (PS3.3 C.11.1.1.1).
    """
    try:
        count, first, bits = _lut_words(item["LUTDescriptor"].value)
        count = count % 65536 or 65536
        first %= 65536
        if signed and first >= 32768:
            first -= 65536
        data = item["LUTData"].value
        entries: Floats
        if isinstance(data, bytes):
            wide = len(data) >= 2 * count
            order = "<" if item.original_encoding[1] is not False else ">"
            entries = np.frombuffer(data, np.dtype(f"{order}u2") if wide else np.uint8, count).astype(np.float64)
        else:
            entries = np.asarray(data, dtype=np.float64)[:count] % 65536
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        return None
    if len(entries) != count or entries.min() == entries.max():
        return None
    needed = int(entries.max()).bit_length()
    is_told = needed <= bits <= min(needed + 1, 16)  # entries that use a quarter of the range belong to another range
    return Lut(first, entries, bits if is_told else max(needed, 8))


def _lut_words(descriptor: object) -> tuple[int, int, int]:
    words = np.frombuffer(descriptor, "<u2") if isinstance(descriptor, bytes) else np.asarray(descriptor)
    count, first, bits = (int(word) for word in words)
    return count, first, bits


def _read_padding(dataset: Dataset, header: ImageHeader) -> tuple[int, int] | None:
    values = _numbers(dataset, "PixelPaddingValue")
    if not values:
        return None
    limits = _numbers(dataset, "PixelPaddingRangeLimit") or values
    ends = sorted(_as_stored(int(value), header) for value in (values[0], limits[0]))
    return ends[0], ends[1]


def _as_stored(value: int, header: ImageHeader) -> int:
    """A padding value read with either sign, in the sign of the stored values."""
    value %= 1 << header.bits_allocated
    return value - (1 << header.bits_allocated) if header.signed and value >> (header.bits_allocated - 1) else value


def _read_aspect(dataset: Dataset) -> float:
    """Height of a pixel over its width: the first of these elements that says the pixels are not square."""
    for keyword in ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing"):
        pair = _numbers(dataset, keyword)
        if pair and len(pair) == 2 and min(pair) > 0 and abs(pair[0] / pair[1] - 1) >= 0.01:
            return pair[0] / pair[1]
    return 1.0
