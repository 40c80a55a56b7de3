"""Write phantom studies as the Open-i collection is laid out: DICOM images, XML reports, the table of projections.

Headers carry the real collection's mixture: half of the images MONOCHROME1, 10 to 16 bits stored, a third without a
window, laterals that say PA or nothing.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from importlib import resources
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from lingula_phantom.case import LONG_SIDE, PhantomCase, draw_frontal, draw_lateral, sample_case
from lingula_phantom.film import Array
from lingula_phantom.findings import KINDS
from lingula_phantom.sentences import Wording, Writer

LICENCE_URL = "http://creativecommons.org/publicdomain/zero/1.0/"
NOTE = "Synthetic: drawn and written by a program. No patient, no real image, no real report."
BITS, BIT_SHARES = (10, 12, 14, 15, 16), (0.08, 0.52, 0.12, 0.2, 0.08)


@dataclass(frozen=True, slots=True)
class Shot:
    """One image of a study: its suffix ("1001" frontal, "2001" lateral) and its projection."""

    suffix: str
    projection: str


FIRST = 9001
"""Number of the first phantom study: beyond the collection's own, so that no phantom is mistaken for a real case."""


def generate(
    out: Path,
    *,
    studies: int = 48,
    seed: int = 0,
    long_side: int = 512,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a phantom collection under ``out`` and return ``out``.

    Study ``n`` depends on ``seed`` and ``n`` alone; equal arguments give equal bytes. Two studies in five are normal.

    Args:
        long_side: pixels along the longer side of a film.
        progress: called with (studies done, studies) after each.
    """
    out = Path(out)
    reports = out / "NLMCXR_reports" / "ecgen-radiology"
    reports.mkdir(parents=True, exist_ok=True)
    writer = Writer()
    with open(out / "indiana_projections.csv", "w", newline="", encoding="utf-8") as table:
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(("uid", "filename", "projection"))
        for number in range(FIRST, FIRST + studies):
            case, rng = make_case(number, seed)
            text_rng, header_rng, *film_rngs = rng.spawn(5)
            shots = _shots(header_rng)
            folder = out / "NLMCXR_dcm" / str(number)
            folder.mkdir(parents=True, exist_ok=True)
            taken = date(2009, 1, 5) + timedelta(days=int(header_rng.integers(0, 1600)))
            for shot, film_rng in zip(shots, film_rngs, strict=False):
                draw = draw_frontal if shot.projection == "Frontal" else draw_lateral
                name = f"{number}_IM-0001-{shot.suffix}"
                file = _header(case, shot, taken, long_side, seed, header_rng)
                _add_pixels(file, draw(case, film_rng, long_side), header_rng)
                file.save_as(folder / f"{name}.dcm", enforce_file_format=True)
                rows.writerow((number, f"{name}.dcm.png", shot.projection))
            report = _xml(case, writer.report(case, text_rng), shots, taken)
            (reports / f"{number}.xml").write_text(report, encoding="utf-8", newline="\n")
            if progress:
                progress(number - FIRST + 1, studies)
    return out


def make_case(number: int, seed: int = 0) -> tuple[PhantomCase, np.random.Generator]:
    """Study ``number`` (from 1) of the collection ``seed``, and the generator of its films, header and report.

    In every five studies two are normal; the others take the kinds of findings in turn, in shuffled rounds.
    """
    rng = np.random.default_rng((seed, number))
    five, place = divmod(number - 1, 5)
    primary = None
    if place in _ABNORMAL:
        turn, position = divmod(five * len(_ABNORMAL) + _ABNORMAL.index(place), len(KINDS))
        primary = list(KINDS)[np.random.default_rng((seed, 0, turn)).permutation(len(KINDS))[position]]
    return sample_case(number, rng, primary), rng


_ABNORMAL = (1, 2, 4)


def _shots(rng: np.random.Generator) -> tuple[Shot, ...]:
    """Mostly a frontal and a lateral; some studies have a frontal alone or two."""
    frontal, lateral = Shot("1001", "Frontal"), Shot("2001", "Lateral")
    chance = rng.random()
    if chance < 0.1:
        return (frontal,)
    return (frontal, Shot("1002", "Frontal"), lateral) if chance < 0.17 else (frontal, lateral)


def _header(case: PhantomCase, shot: Shot, taken: date, long_side: int, seed: int, rng: np.random.Generator) -> Dataset:
    """Everything but the pixels. View Position is right, wrong or missing as often as in the real collection."""
    image_id = f"{case.number}_IM-0001-{shot.suffix}"
    days = np.random.default_rng((seed, case.number)).integers(1, 360)  # the same on every film of a study
    born = date(taken.year - case.patient.age, 1, 1) - timedelta(days=int(days))
    views, shares = (
        (("PA", "AP", ""), (0.75, 0.1, 0.15)) if shot.projection == "Frontal" else (("LL", "PA", ""), (0.3, 0.3, 0.4))
    )
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 100"
    header.ImageType = ["DERIVED", "PRIMARY"]
    header.SOPClassUID = ComputedRadiographyImageStorage
    header.SOPInstanceUID = _uid(seed, "image", image_id)
    header.StudyInstanceUID = _uid(seed, "study", case.number)
    header.SeriesInstanceUID = _uid(seed, "series", image_id)
    header.PatientID = header.PatientName = str(case.number)
    header.PatientBirthDate, header.StudyDate = f"{born:%Y%m%d}", f"{taken:%Y%m%d}"
    header.Modality, header.BodyPartExamined = "CR", "CHEST"
    header.Manufacturer = "lingula phantom"
    header.ImageComments = NOTE
    if view := str(rng.choice(views, p=shares)):
        header.ViewPosition = view
    spacing = f"{10 * LONG_SIDE / long_side:.6g}"
    header.ImagerPixelSpacing = [spacing, spacing]
    header.InstanceNumber = int(shot.suffix[-1])
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if rng.random() < 0.8 else ImplicitVRLittleEndian
    return header


def _add_pixels(header: Dataset, image: Array, rng: np.random.Generator) -> None:
    """Store display values in 10 to 16 bits; two images in three carry the window that brings them back."""
    bits, inverted = int(rng.choice(BITS, p=BIT_SHARES)), bool(rng.random() < 0.5)
    top = 2**bits - 1
    low, high = 0.0, float(top)
    if rng.random() < 0.67:
        low, high = (float(round(top * share)) for share in (rng.uniform(0.02, 0.12), rng.uniform(0.6, 0.95)))
        middle = (low + high) / 2
        header.WindowCenter = f"{(top - middle if inverted else middle) + 0.5:.1f}"  # PS3.3 C.11.2.1.2.1
        header.WindowWidth = f"{high - low + 1:.0f}"
    stored = np.rint(low + image * (high - low)).astype(np.uint16)
    header.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    header.SamplesPerPixel, header.PixelRepresentation = 1, 0
    header.Rows, header.Columns = stored.shape
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, bits, bits - 1
    header.PixelData = (top - stored if inverted else stored).astype("<u2").tobytes()


def _uid(seed: int, *parts: object) -> str:
    """A UID under 2.25 (PS3.5 B.2), the same for the same parts."""
    digest = hashlib.sha256(repr((seed, *parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def _xml(case: PhantomCase, wording: Wording, shots: tuple[Shot, ...], taken: date) -> str:
    """The report in the layout of the collection's own files."""
    sections = "\n         \n            ".join(
        f'<AbstractText Label="{name.upper()}">{escape(text)}</AbstractText>'
        if text
        else f'<AbstractText Label="{name.upper()}"/>'
        for name in ("comparison", "indication", "findings", "impression")
        for text in (getattr(wording, name),)
    )
    images = "".join(
        _IMAGE.format(id=f"CXR{case.number}_IM-0001-{shot.suffix}", figure=i) for i, shot in enumerate(shots, 1)
    )
    majors = "\n\n      ".join(f"<major>{escape(term)}</major>" for term in case.terms)
    layout = (resources.files(__package__) / "report.xml.txt").read_text(encoding="utf-8")
    return layout.format(
        number=case.number, date=taken, note=NOTE, licence=LICENCE_URL, sections=sections, majors=majors, images=images
    )


_IMAGE = """
   <parentImage id="{id}">

      <figureId>F{figure}</figureId>

      <caption>Phantom Chest PA and Lateral</caption>

      <panel type="single">

         <url>/phantom/{id}.jpg</url>

         <imgModality>7</imgModality>

      </panel>

   </parentImage>"""
