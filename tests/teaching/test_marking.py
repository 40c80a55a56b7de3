"""Marks by hand: hit, overlap, distance in millimetres or percent."""

from __future__ import annotations

import pytest

from lingula.teaching.marking import FilmScale, judge_marks, spacing_of
from lingula.teaching.sets import Drawing

BOX = Drawing("box", 0, ((0.2, 0.2), (0.4, 0.6)))


def test_a_box_by_hand() -> None:
    """On 200 x 100 pixels of half a millimetre: 40 x 40 pixels each, 20 of them shared in width."""
    drawn = Drawing("box", 0, ((0.3, 0.2), (0.5, 0.6)))
    (result,) = judge_marks([drawn], [BOX], [FilmScale(100, 200, 0.5)])
    assert result.hit  # its middle is at the edge of the teacher's box
    assert result.overlap == pytest.approx(20 * 40 / (2 * 40 * 40 - 20 * 40), abs=1e-4)
    assert (result.distance, result.unit) == (10.0, "mm")
    (percent,) = judge_marks([drawn], [BOX], [FilmScale(100, 200)])
    assert (percent.distance, percent.unit) == (10.0, "%")  # 20 of 200 pixels


def test_corners_may_come_in_any_order() -> None:
    turned = Drawing("box", 0, ((0.4, 0.6), (0.2, 0.2)))
    (result,) = judge_marks([turned], [BOX], [FilmScale(100, 200)])
    assert (result.hit, result.overlap, result.distance) == (True, 1.0, 0.0)


def test_points_and_arrows() -> None:
    scale = [FilmScale(100, 200), FilmScale(100, 200)]
    inside, outside = Drawing("point", 0, ((0.3, 0.4),)), Drawing("point", 0, ((0.9, 0.4),))
    assert [judge_marks([each], [BOX], scale)[0].hit for each in (inside, outside)] == [True, False]
    arrow = Drawing("arrow", 0, ((0.9, 0.9), (0.3, 0.4)))  # its tip counts
    assert judge_marks([Drawing("point", 0, ((0.34, 0.4),))], [arrow], scale)[0].hit  # 8 of 200 pixels
    assert not judge_marks([Drawing("point", 0, ((0.36, 0.4),))], [arrow], scale)[0].hit  # 12 of 200
    assert judge_marks([BOX], [arrow], scale)[0].hit


def test_the_best_of_several_counts_and_other_films_do_not() -> None:
    scale = [FilmScale(100, 200), FilmScale(100, 200)]
    far, other = Drawing("point", 0, ((0.9, 0.9),)), Drawing("box", 1, BOX.points)
    results = judge_marks([far, BOX, other], [BOX, Drawing("box", 1, ((0.0, 0.0), (0.1, 0.1)))], scale)
    assert [(r.hit, r.drawn) for r in results] == [(True, BOX), (False, other)]
    (none,) = judge_marks([other], [BOX], scale)
    assert (none.drawn, none.hit, none.distance) == (None, False, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.143", 0.143), ("0.28\\0.14", 0.14), ("[0.2, 0.2]", 0.2), ("", None), ("nan", None), ("0", None)],
)
def test_spacing_is_read_or_unknown(text: str, expected: float | None) -> None:
    assert spacing_of({"ImagerPixelSpacing": text}) == expected
