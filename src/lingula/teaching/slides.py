"""A set as slides, PNG or PDF: each study first as a question, then with its answer, marks and credit.

Films are drawn undistorted. A slide has 16:9 and dark ground, as a film is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from lingula.deidentification.handout import handout_record, handout_summary
from lingula.library import Library, StudyRecord
from lingula.library.record import StoredRadiograph
from lingula.page.picture import saved
from lingula.study import DISCLAIMER, Report
from lingula.teaching.credit import credit_of
from lingula.teaching.sets import Drawing, TeachingSet, case_findings, handout_set
from lingula.teaching.tasks import Findings, film_rows, history

WIDTH, HEIGHT = 1600, 900
_GROUND, _TEXT, _QUIET, _MARK = (16, 17, 19), (236, 238, 240), (160, 165, 172), (255, 196, 61)
_EDGE, _GAP, _FILMS = 48, 24, 1000
"""Margins, and the part of a slide's width that films may take, in pixels."""


@dataclass(frozen=True, slots=True)
class Slide:
    """What stands on a slide: films with marks on the left, a title and paragraphs on the right, a credit below."""

    films: tuple[Image.Image, ...]
    title: str
    paragraphs: tuple[str, ...]
    credit: str


def set_slides(
    library: Library, known: TeachingSet, findings: Findings, *, only: int | None = None
) -> list[Image.Image]:
    """Two slides for each study of the set that has a film, in the set's order.

    Args:
        only: draw this one alone, from 1; nothing where there is none.

    Raises:
        InputError: as ``handout_film``.
    """
    known = handout_set(known)
    slides, summaries = [], library.summaries(known.ids)
    cases = [case for case in known.cases if case.study_id in summaries and summaries[case.study_id].images]
    for number, case in enumerate(cases, 1):
        if only is not None and (only + 1) // 2 != number:
            continue
        record = handout_record(library.get(case.study_id))
        title = f"{known.title}  {number}/{len(cases)}"
        question = case.question or known.question
        told = history(handout_summary(summaries[case.study_id]))
        slides.append(drawn(Slide(_films(record, ()), title, (told, question), credit_of(case.study_id))))
        shows = findings.named(case_findings(case, record, findings.normal)) or ("Normal",)
        answer = (", ".join(shows), case.key_point, _closing(record.report))
        slides.append(drawn(Slide(_films(record, case.drawings), title, answer, credit_of(case.study_id))))
    return slides if only is None else slides[(only + 1) % 2 : (only + 1) % 2 + 1]


def slides_pdf(slides: Sequence[Image.Image]) -> bytes:
    """All slides as one PDF, a page each."""
    return saved(slides[0], "PDF", save_all=True, append_images=slides[1:], resolution=120)


def slide_png(slide: Image.Image) -> bytes:
    return saved(slide, "PNG")


def marked_png(film: StoredRadiograph, drawings: Sequence[Drawing]) -> bytes:
    """A film with marks drawn on it, at the preview's size."""
    return slide_png(_marked(film, drawings))


def drawn(slide: Slide) -> Image.Image:
    """A slide of ``WIDTH`` by ``HEIGHT`` pixels."""
    image = Image.new("RGB", (WIDTH, HEIGHT), _GROUND)
    draw = ImageDraw.Draw(image)
    shapes = [film.width / film.height for film in slide.films]
    height = min(HEIGHT - 2 * _EDGE - 40, (_FILMS - _GAP * (len(shapes) - 1)) / (sum(shapes) or 1))
    left = _EDGE
    for film, shape in zip(slide.films, shapes, strict=True):
        size = max(1, round(height * shape)), max(1, round(height))
        image.paste(film.resize(size, Image.Resampling.LANCZOS), (left, _EDGE))
        left += size[0] + _GAP
    left, top, width = max(left, 620), _EDGE, WIDTH - max(left, 620) - _EDGE
    top = _paragraph(draw, slide.title, (left, top), width, 22, _QUIET)
    for at, text in enumerate(filter(None, slide.paragraphs)):
        top = _paragraph(draw, text, (left, top + 20), width, 32 if at == 0 else 24, _TEXT)
    _paragraph(draw, f"{slide.credit}. {DISCLAIMER}", (_EDGE, HEIGHT - _EDGE), WIDTH - 2 * _EDGE, 15, _QUIET)
    return image


def _films(record: StudyRecord, drawings: Sequence[Drawing]) -> tuple[Image.Image, ...]:
    rows = film_rows([film.view for film in record.radiographs])[:2]
    return tuple(_marked(record.radiographs[row], [d for d in drawings if d.film == row]) for row in rows)


def _marked(film: StoredRadiograph, drawings: Sequence[Drawing]) -> Image.Image:
    image = Image.fromarray(film.preview()).convert("RGB")
    draw = ImageDraw.Draw(image)
    width, height = image.size
    for each in drawings:
        points = [(x * width, y * height) for x, y in each.points]
        left, top, right, bottom = (v * s for v, s in zip(each.target, (width, height) * 2, strict=True))
        if each.shape == "box":
            draw.rectangle((left, top, right, bottom), outline=_MARK, width=2)
        elif each.shape == "point":
            draw.ellipse((left - 6, top - 6, left + 6, top + 6), outline=_MARK, width=2)
        else:
            draw.line(points, fill=_MARK, width=2)
            draw.ellipse((left - 4, top - 4, left + 4, top + 4), fill=_MARK)
        if each.text:
            draw.text((left, max(0, top - 20)), each.text, fill=_MARK, font=ImageFont.load_default(15))
    return image


def _closing(report: Report | None) -> str:
    """The impression, or the findings where there is none."""
    if report is None:
        return ""
    return report.section("impression").strip() or report.section("findings").strip()


def _paragraph(
    draw: ImageDraw.ImageDraw, text: str, at: tuple[int, int], width: int, size: int, colour: tuple[int, int, int]
) -> int:
    """Draw text in lines of at most ``width`` pixels; what would leave the slide is cut. Returns where it ends."""
    font = ImageFont.load_default(size)
    lines, line = [], ""
    for word in text.split():
        if line and draw.textlength(f"{line} {word}", font=font) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    lines.append(line)
    left, top = at
    for each in lines:
        if top + size > HEIGHT - 20:
            break
        draw.text((left, top), each, fill=colour, font=font)
        top += round(size * 1.35)
    return top
