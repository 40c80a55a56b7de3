"""The answer as a picture that every viewer shows: the film with its boxes, and what was found in words beside it."""

from __future__ import annotations

import io
import textwrap

import numpy as np
from highdicom.sc import SCImage
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset

from lingula.node.region import EvidenceBox
from lingula.node.result import StudyResult, said, statement
from lingula.page.picture import shrink

SIDE = 1024
"""Of the film's picture: its longer side in pixels, at most."""
PANEL, MARGIN = 400, 16
PAPER, INK, SOFT, BOX = (16, 18, 20), (240, 240, 240), (170, 176, 184), (255, 170, 60)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def secondary_capture(result: StudyResult, film: int) -> SCImage:
    """The picture of one film of the study, by its row."""
    source = result.films[film].dataset
    made = SCImage.from_ref_dataset(
        ref_dataset=source,
        pixel_array=np.asarray(drawing(result, film)),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),
        sop_instance_uid=result.uid("sc", source.SOPInstanceUID),
        instance_number=film + 1,
        **result.maker("sc"),
    )
    made.Laterality = None
    made.PatientOrientation = None  # the sheet holds a film and words
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.BurnedInAnnotation = "YES"
    made.DerivationDescription = statement(result.analysis.model)
    made.ImageComments = statement(result.analysis.model)
    made.SourceImageSequence = [_reference(source)]
    return made


def _reference(source: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    return item


def drawing(result: StudyResult, film: int) -> Image.Image:
    """The sheet (RGB): film with boxes on the left, words on the right."""
    picture = film_with_boxes(result, film)
    sheet = Image.new("RGB", (picture.width + PANEL, max(picture.height, 640)), PAPER)
    sheet.paste(picture, (0, 0))
    _write(sheet, picture.width + MARGIN, result, film)
    return sheet


def film_with_boxes(result: StudyResult, film: int) -> Image.Image:
    """The film as it was judged, upright, dense tissue bright, with the boxes of its findings."""
    pixels = result.analysis.study.radiographs[film].pixels
    small = shrink(pixels, SIDE)
    picture = Image.fromarray(np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8))
    factor = max(1.0, SIDE / 2 / max(picture.size))  # words on a thumbnail cannot be read
    size = round(picture.width * factor), round(picture.height * factor)
    picture = picture.resize(size, Image.Resampling.BICUBIC).convert("RGB")
    draw, font, scale = ImageDraw.Draw(picture), ImageFont.load_default(15), picture.width / pixels.shape[1]
    for box in result.boxes:
        if box.film == film:
            _draw_box(draw, box, picture.width, scale, font)
    return picture


def _draw_box(draw: ImageDraw.ImageDraw, box: EvidenceBox, width: int, scale: float, font: Font) -> None:
    left, top = box.x * scale, box.y * scale
    right, bottom = (box.x + box.width) * scale, (box.y + box.height) * scale
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=(0, 0, 0), width=4)
    draw.rectangle((left, top, right, bottom), outline=BOX, width=2)
    at = max(min(left + 4, width - font.getlength(box.name) - 4), 2)
    draw.text((at, max(top - 20, 2)), box.name, BOX, font, stroke_width=2, stroke_fill=(0, 0, 0))


def _write(sheet: Image.Image, left: int, result: StudyResult, film: int) -> None:
    draw = ImageDraw.Draw(sheet)
    large, plain, small = (ImageFont.load_default(size) for size in (22, 16, 13))
    width = PANEL - 2 * MARGIN
    top = _lines(draw, (left, MARGIN), ["lingula"], large, INK, width)
    of = f"film {film + 1} of {len(result.films)}"
    top = _lines(draw, (left, top + 2), [of, "Boxes: strongest evidence, no outline of disease."], small, SOFT, width)
    notices = [notice.message for notice in result.analysis.notices[:4]]
    top = _lines(draw, (left, top + 14), notices, small, BOX, width)
    top = _lines(draw, (left, top + 14), result.lines(), plain, INK, width)
    if result.doubtful:
        names = "; ".join(said(p) for p in result.doubtful)
        top = _lines(draw, (left, top + 14), ["Not sure:"], plain, INK, width)
        _lines(draw, (left, top), [names], small, SOFT, width, most=sheet.height - 110)
    _lines(draw, (left, sheet.height - 96), [statement(result.analysis.model)], plain, BOX, width)


def _lines(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], texts: list[str], font: Font, ink: tuple[int, int, int], width: int,
    most: int = 1 << 30,
) -> int:  # fmt: skip
    """Write paragraphs, wrapped; where the next would begin."""
    left, top = at
    step = round(font.getbbox("Ag")[3] * 1.3)
    for text in texts:
        fits = max(8, int(width / (font.getlength("abcdefghij klmnopqrst uvwxyz") / 28)))
        for line in textwrap.wrap("".join(c if c.isprintable() else "?" for c in text), fits):
            if top + step > most:
                return top
            draw.text((left, top), line, ink, font)
            top += step
    return top


def document(result: StudyResult) -> bytes:
    """The pictures of all films as one PDF, a page a film."""
    pages = [drawing(result, film) for film in range(len(result.films))]
    stream = io.BytesIO()
    pages[0].save(stream, "PDF", save_all=True, append_images=pages[1:], resolution=96, title="lingula")
    return stream.getvalue()
