"""A figure for a slide keeps a film's proportions and names where it comes from."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from lingula.page.film_figure import FigureFilm, FilmSheet, figure_pdf, figure_png


@pytest.mark.parametrize(("rows", "columns"), [(300, 200), (200, 300), (2500, 2048), (512, 512)])
def test_a_film_keeps_its_proportions(rows: int, columns: int) -> None:
    film = FigureFilm(np.full((rows, columns), 0.5, np.float32), "Your study", "frontal")
    with Image.open(io.BytesIO(figure_png(FilmSheet((film,), "Likely: effusion.", "Model 1")))) as picture:
        grey = np.abs(np.asarray(picture.convert("L")).astype(int) - 128) < 3
    there = [np.flatnonzero(grey.sum(axis) > 150) for axis in (1, 0)]
    height, width = (int(found[-1] - found[0] + 1) for found in there)
    assert width / height == pytest.approx(columns / rows, rel=0.01)
    assert max(width, height) == 1200


def test_two_films_stand_at_one_height_and_a_pdf_is_one() -> None:
    films = tuple(FigureFilm(np.full(size, 0.5, np.float32), "A", "frontal") for size in ((300, 200), (400, 400)))
    assert figure_pdf(FilmSheet(films, "Words – with a dash, and 漢字.", "Credit")).startswith(b"%PDF")
