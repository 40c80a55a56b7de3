"""Previews: the pictures a library keeps. Always drawn by us, never the bytes that were uploaded."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from lingula.errors import LibraryError

LONG_SIDE = 512


def encode(pixels: npt.NDArray[np.float32]) -> bytes:
    """Draw a preview as 8-bit grey PNG, which is lossless.

    Args:
        pixels: (rows, columns) float32 in [0, 1]. Larger pictures are shrunk (Lanczos) to a long side of 512 px;
            smaller ones keep their size.
    """
    picture = Image.fromarray(pixels)
    if (longest := max(pixels.shape)) > LONG_SIDE:
        rows, columns = (max(1, round(side * LONG_SIDE / longest)) for side in pixels.shape)
        picture = picture.resize((columns, rows), Image.Resampling.LANCZOS)
    grey = np.rint(np.clip(np.asarray(picture), 0, 1) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    return file.getvalue()


def decode(png: bytes) -> npt.NDArray[np.uint8]:
    """(H, W) uint8 of a stored preview.

    Raises:
        LibraryError: ``index_corrupt`` when the bytes are not the picture that was stored.
    """
    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as picture:
            return np.array(picture.convert("L"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise LibraryError("index_corrupt", f"a stored preview is damaged: {error}.") from error


def is_intact(png: bytes) -> bool:
    """Whether the chunk checksums of a stored preview hold; pixels are not decoded."""
    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as picture:
            picture.verify()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return False
    return True
