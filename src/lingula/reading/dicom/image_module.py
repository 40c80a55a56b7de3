"""The Image Pixel module of an accepted file, as header, decoder and display values share it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The Image Pixel module (PS3.3 C.7.6.3) of an accepted file.

    Attributes:
        samples: SamplesPerPixel, 1 or 3.
        photometric: PhotometricInterpretation.
        bits_allocated, bits_stored, high_bit: layout of a stored value in its container; 8, 16 or 32 allocated.
        signed: PixelRepresentation 1, two's complement.
        planar: PlanarConfiguration 1, samples stored plane by plane.
    """

    rows: int
    columns: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    planar: bool
