"""Colours, sizes and outlines of the pictures on the page."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from lingula.page.contour import _loops, outline
from lingula.page.evidence import place
from lingula.page.figure import Panel, figure_png
from lingula.page.picture import colour_table, display_scale, film_png, fit, overlay_png


def rgba(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")).astype(int)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_a_zero_map_is_fully_transparent(signed, scale):
    png = overlay_png(np.zeros((9, 7), np.float32), 64, scale=scale, signed=signed)
    assert not rgba(png)[..., 3].any()


def test_the_sign_picks_the_side_and_the_magnitude_the_alpha():
    values = np.array([[-2, -1, -0.5, 0, 0.5, 1, 2]], np.float32)
    pixels = rgba(overlay_png(values, 64, scale=1.0, signed=True))[0]
    red, blue, alpha = pixels[:, 0], pixels[:, 2], pixels[:, 3]
    assert (blue[:3] > red[:3] + 50).all()  # against: blue
    assert (red[4:] > blue[4:] + 50).all()  # for: orange
    assert alpha.tolist() == pytest.approx([255, 255, 128, 0, 128, 255, 255], abs=2)


def test_saliency_brightens_with_its_value_and_ignores_negatives():
    pixels = rgba(overlay_png(np.array([[-1, 0, 0.25, 0.5, 1]], np.float32), 64, scale=1.0, signed=False))[0]
    assert pixels[:, 3].tolist() == pytest.approx([0, 0, 64, 128, 255], abs=1)
    luminance = colour_table(False)[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > -0.5).all()


def test_full_colour_is_common_to_all_films_and_a_single_hot_pixel_does_not_set_it():
    weak, strong = np.full((100, 100), 0.1, np.float32), np.full((100, 100), 0.4, np.float32)
    strong[0, 0] = 50
    assert display_scale([weak, strong]) == pytest.approx(0.4)
    sparse = np.zeros((100, 100), np.float32)
    sparse[5, 5] = -3
    assert display_scale([sparse]) == 3
    assert display_scale([]) == 0


def test_a_film_keeps_its_shape_and_is_never_enlarged():
    pixels = np.linspace(0, 1, 2000 * 1000, dtype=np.float32).reshape(2000, 1000)
    assert rgba(film_png(pixels, 1024)).shape == (1024, 512, 4)
    small = rgba(film_png(np.array([[0, 0.5, 1, np.nan]], np.float32), 1024))
    assert small[0, :, 0].tolist() == [0, 128, 255, 0]


def test_fit_takes_the_first_side_within_the_budget():
    assert fit(bytes, (9, 7, 5), 8) == bytes(7)
    assert fit(bytes, (9, 7, 5), 1) == bytes(5)


def loops(path: str) -> list[np.ndarray]:
    return [np.array(re.findall(r"-?[\d.]+", part), float).reshape(-1, 2) for part in path.split("M")[1:]]


def area(loop: np.ndarray) -> float:
    x, y = loop.T
    return abs(float(np.sum(x * np.roll(y, 1) - y * np.roll(x, 1)))) / 2


@pytest.mark.parametrize("centre", [(0.5, 0.5), (0.3, 0.7)])
@pytest.mark.parametrize("share", [0.05, 0.20])
def test_an_outline_holds_its_share_of_the_area_around_the_peak(centre, share):
    y, x = np.mgrid[0:120, 0:90]
    values = np.exp(-((y / 120 - centre[0]) ** 2 + (x / 90 - centre[1]) ** 2) * 12).astype(np.float32)
    (loop,) = loops(outline(values, share, 750, 1000))
    assert area(loop) / 750_000 == pytest.approx(share, rel=0.06)
    if share == 0.05:
        assert loop.mean(0) == pytest.approx([centre[1] * 750, centre[0] * 1000], abs=15)


def test_outlines_close_at_the_edge_and_nothing_gives_no_outline():
    corner = np.zeros((64, 64), np.float32)
    corner[:16, :16] = 1
    (loop,) = loops(outline(corner, 0.2, 640, 640))
    assert area(loop) == pytest.approx(160 * 160, rel=0.25)
    assert loop.min() >= 0
    for values in (np.zeros((8, 8), np.float32), np.full((8, 8), 2, np.float32), -corner):
        assert outline(values, 0.05, 100, 100) == ""


def test_two_separate_spots_give_two_loops():
    values = np.zeros((96, 96), np.float32)
    values[15:30, 15:30] = values[60:75, 60:75] = 1
    assert len(loops(outline(values, 0.05, 96, 96))) == 2


@pytest.mark.parametrize("corners", [np.eye(2), np.eye(2)[::-1]])
def test_spots_that_touch_at_a_corner_stay_two_diamonds(corners):
    found = _loops(np.pad(corners.astype(np.float32), 1), 0.5)
    assert sorted(len(loop) for loop in found) == [4, 4]
    assert [area(np.array(loop)) for loop in found] == [0.5, 0.5]


def test_contours_go_round_the_peak_and_leave_the_film_as_it_is():
    y, x = np.mgrid[0:200, 0:200].astype(np.float32)
    film, peak = (x + y) / 400, np.exp(-(((x - 120) / 30) ** 2 + ((y - 80) / 30) ** 2))
    panels = [Panel(film, None, False, 0, "film", "frontal", ""), Panel(film, peak, False, 1, "map", "finding", "unit")]
    plain, drawn = (rgba(figure_png([panels], side=200, contour=contour)) for contour in (False, True))
    left, top = 16 + 200 + 16, 60  # of the second picture
    alone, lined, washed = drawn[top:260, 16:216], drawn[top:260, left : left + 200], plain[top:260, left : left + 200]
    yellow = np.argwhere((lined[..., 0] > 230) & (lined[..., 2] < 120))
    far = np.hypot(yellow[:, 1] - 120, yellow[:, 0] - 80)
    assert len(yellow) > 200
    assert far == pytest.approx(np.sqrt(0.05 * 200 * 200 / np.pi), rel=0.2)  # a circle of 5 % of the area
    np.testing.assert_array_equal(lined[80, 120], alone[80, 120])
    np.testing.assert_array_equal(lined[150:], alone[150:])
    assert not np.array_equal(washed[80, 120], alone[80, 120])


def test_place_names_the_third_of_the_picture():
    values = np.zeros((9, 9), np.float32)
    values[8, 0] = 1
    assert place(values) == "lower third, left side of the picture"
    assert place(-values) == ""
    values[4, 4] = 5
    assert place(values) == "centre of the picture"
    assert place(np.ones((1, 1), np.float32))
