"""The pixel path and its way back, against boxes and places worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lingula.reading.preprocess import Letterbox, Preprocessing, content_box, stretch, to_input, to_radiograph
from lingula.study import Radiograph

SIZE = 224
PLAIN = Preprocessing(size=SIZE, tail=0.0, mean=0.0, std=1.0)


@pytest.mark.parametrize(
    ("rows", "columns", "box"),
    [
        (
            300,
            200,
            Letterbox(top=0, left=37, height=224, width=149, rows=300, columns=200),
        ),  # 200 * 224/300 = 149.33; 75 over: 37 and 38
        (200, 300, Letterbox(top=37, left=0, height=149, width=224, rows=200, columns=300)),
        (
            300,
            201,
            Letterbox(top=0, left=37, height=224, width=150, rows=300, columns=201),
        ),  # 150.08; 74 over: 37 and 37
        (500, 500, Letterbox(top=0, left=0, height=224, width=224, rows=500, columns=500)),
        (1, 1000, Letterbox(top=111, left=0, height=1, width=224, rows=1, columns=1000)),  # 0.22 rows are one row
    ],
)
def test_letterbox(rows: int, columns: int, box: Letterbox) -> None:
    assert Letterbox.fit(rows, columns, SIZE) == box


def test_input_holds_the_film_and_black_padding() -> None:
    film = np.ones((300, 200), np.float32)
    film[:150] = 0.0
    film[150:, :100] = 0.5
    x = to_input(Radiograph("x", film), Preprocessing(size=SIZE, tail=0.0, mean=0.5, std=0.25))
    assert x.shape == (SIZE, SIZE)
    assert x.dtype == np.float32
    assert (x[:, :37] == -2).all()  # (0 - 0.5) / 0.25
    assert (x[:, 37 + 149 :] == -2).all()
    assert (x[:110, 37:186] == -2).all()
    np.testing.assert_allclose(x[114:, 38:110], 0, atol=1e-6)  # grey
    np.testing.assert_allclose(x[114:, 113:185], 2, atol=1e-6)  # white


def test_aspect_is_kept() -> None:
    rows, columns = np.mgrid[0:600, 0:360]
    disc = ((rows - 300) ** 2 + (columns - 180) ** 2 < 120**2).astype(np.float32)
    disc += 0.1 * columns / 360  # no flat border, which would be left out
    shown = to_input(Radiograph("x", disc), PLAIN) > 0.5
    height, width = shown.any(1).sum(), shown.any(0).sum()
    assert height == pytest.approx(240 * SIZE / 600, abs=1)
    assert width == pytest.approx(height, abs=1)


def test_a_film_and_its_inverse_stay_inverses() -> None:
    random = np.random.default_rng(0)
    film = random.beta(2, 5, (700, 611)).astype(np.float32)
    np.testing.assert_allclose(stretch(1 - film, 0.01), 1 - stretch(film, 0.01), atol=1e-5)
    assert np.mean(stretch(film, 0.01) == 0) == pytest.approx(0.01, abs=0.003)
    assert np.mean(stretch(film, 0.01) == 1) == pytest.approx(0.01, abs=0.003)


def test_stretching_by_rows_is_stretching_at_once() -> None:
    film = np.random.default_rng(1).beta(2, 5, (333, 257)).astype(np.float32)
    low, high = np.quantile(film, (0.01, 0.99)).astype(np.float32)
    np.testing.assert_array_equal(stretch(film, 0.01), (film.clip(low, high) - low) / (high - low))
    exact = np.clip((film.astype(np.float64) - low) / (np.float64(high) - low), 0, 1)
    np.testing.assert_allclose(stretch(film, 0.01), exact, atol=1e-7)


def test_flat_film_is_grey() -> None:
    x = to_input(Radiograph("x", np.full((50, 50), 0.9, np.float32)), PLAIN)
    np.testing.assert_array_equal(x, np.full((SIZE, SIZE), 0.5, np.float32))


@pytest.mark.parametrize(("rows", "columns"), [(2001, 1663), (1663, 2001), (100, 71), (224, 224), (200, 900)])
def test_a_place_comes_back(rows: int, columns: int) -> None:
    """The centre of a blob, found on the input and carried back, lies within half a film pixel, or within a twentieth
    of an input pixel where these are larger."""
    at = np.array([rows * 0.71, columns * 0.23])
    y, x = np.mgrid[0:rows, 0:columns]
    radius = max(rows, columns) / 40
    blob = np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / radius**2).astype(np.float32)
    carried = to_radiograph(to_input(Radiograph("x", blob), PLAIN), blob, SIZE)
    assert carried.shape == (rows, columns)
    weight = np.where(carried > 0.1, carried, 0)
    found = np.array([(weight * y).sum(), (weight * x).sum()]) / weight.sum()
    tolerance = max(0.5, 0.05 * max(rows, columns) / SIZE)
    np.testing.assert_allclose(found, at, atol=tolerance)


def test_a_coarse_grid_lands_where_its_patches_are() -> None:
    """A 7 x 7 map of a tall film: columns 0 and 6 are mostly padding, one patch is 300 / 7 film rows high."""
    grid = np.zeros((7, 7), np.float32)
    grid[5, 2] = 1
    film = np.linspace(0, 1, 60_000, dtype=np.float32).reshape(300, 200)
    carried = to_radiograph(grid, film, SIZE)
    row, column = np.unravel_index(carried.argmax(), carried.shape)
    assert row == pytest.approx(5.5 * 300 / 7, abs=1)
    assert column == pytest.approx((2.5 * 32 - 37) * 200 / 149, abs=1)


def textured(rows: int, columns: int) -> np.ndarray:
    rng = np.random.default_rng(rows * columns)
    return (0.2 + 0.6 * rng.random((rows, columns))).astype(np.float32)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("border", [(60, 60, 60, 60), (200, 150, 0, 0), (0, 0, 90, 0), (7, 120, 3, 80)])
def test_wide_flat_borders_change_nothing(border: tuple[int, int, int, int], level: float) -> None:
    """Neither the input nor where a map lies: 0 in the border, and inside as without it."""
    film = textured(300, 240)
    above, below, before, behind = border
    framed = np.pad(film, ((above, below), (before, behind)), constant_values=level)
    assert content_box(framed) == (above, before, above + 300, before + 240)
    np.testing.assert_array_equal(to_input(Radiograph("x", framed), PLAIN), to_input(Radiograph("x", film), PLAIN))
    grid = np.random.default_rng(0).random((7, 7)).astype(np.float32)
    carried = to_radiograph(grid, framed, SIZE)
    inside = carried[above : above + 300, before : before + 240]
    np.testing.assert_array_equal(inside, to_radiograph(grid, film, SIZE))
    assert carried.sum() == pytest.approx(inside.sum())


def test_bars_of_several_values_one_inside_the_other() -> None:
    film = textured(300, 240)
    framed = np.pad(film, ((0, 0), (50, 50)))
    framed = np.pad(framed, ((40, 70), (0, 0)), constant_values=1)
    framed = np.pad(framed, 25, constant_values=0.4)
    framed += np.random.default_rng(0).uniform(-1 / 255, 1 / 255, framed.shape).astype(np.float32)  # compressed
    assert content_box(framed) == (65, 75, 365, 315)


@pytest.mark.parametrize("film", [textured(300, 240), np.pad(textured(300, 240), 3), np.zeros((300, 240), np.float32),
                                  np.pad(textured(8, 8), 40)])  # fmt: skip
def test_what_is_no_border_stays(film: np.ndarray) -> None:
    """No border, a narrow one as films that were learnt from have it, a blank film, and hardly any film inside."""
    assert content_box(film) == (0, 0, *film.shape)


@pytest.mark.parametrize("at", [(10.0, 20.0), (150.5, 33.0)])
def test_places_go_there_and_back(at: tuple[float, float]) -> None:
    box = Letterbox.of(np.pad(textured(300, 240), ((50, 80), (20, 90))), SIZE)
    np.testing.assert_allclose(box.to_film(*box.to_input(*at)), at, atol=1e-9)
    assert box.to_input(50, 20) == (box.top, box.left)
    assert box.to_input(350, 260) == (box.top + box.height, box.left + box.width)
