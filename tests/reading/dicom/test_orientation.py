"""PatientOrientation: every way a film can lie, brought back."""

from __future__ import annotations

import numpy as np
import pytest

from lingula.reading.dicom.orientation import Turn, read_turn
from lingula.reading.dicom.reader import read_dicom

OPPOSITE = dict(zip("LRFHAP", "RLHFPA", strict=True))
FULL = {"WindowCenter": 2048, "WindowWidth": 4096}


def lying(upright: np.ndarray, along: str, down: str, turn: Turn) -> tuple[np.ndarray, str]:
    """A film stored otherwise, and the orientation that its header must name."""
    stored = upright
    if turn.flip:
        stored, down = stored[::-1], OPPOSITE[down]
    if turn.mirror:
        stored, along = stored[:, ::-1], OPPOSITE[along]
    return (stored.T, f"{down}\\{along}") if turn.transpose else (stored, f"{along}\\{down}")


@pytest.mark.parametrize("number", range(8))
def test_a_frontal_film_is_brought_upright(write_dicom, ramp: np.ndarray, number: int) -> None:
    turn = Turn(bool(number & 4), bool(number & 2), bool(number & 1))
    stored, orientation = lying(ramp, "L", "F", turn)
    path = write_dicom(np.ascontiguousarray(stored), PatientOrientation=orientation.split("\\"), **FULL)
    radiograph = read_dicom(path)
    np.testing.assert_allclose(radiograph.pixels, ramp / 4095, atol=1e-6)
    assert [notice.code for notice in radiograph.notices] == (["orientation_corrected"] if number else [])


@pytest.mark.parametrize("facing", ["A", "P"])
@pytest.mark.parametrize("turn", [Turn(), Turn(mirror=True, flip=True), Turn(True, True), Turn(True, flip=True)])
def test_a_lateral_film_is_only_rotated(ramp: np.ndarray, facing: str, turn: Turn) -> None:
    stored, orientation = lying(ramp, facing, "F", turn)
    upright = read_turn(orientation)[0].apply(stored)
    np.testing.assert_array_equal(upright, ramp)


@pytest.mark.parametrize(
    ("value", "codes"),
    [("", []), ("\\", []), ("L\\F", []), ("LF\\FR", []), ("P\\F", []), ("L\\R", ["bad_orientation"]),
     ("A\\R", ["bad_orientation"]), ("L", ["bad_orientation"]), ("x\\y", ["bad_orientation"]),
     ("LEFT\\FOOT", ["bad_orientation"]), ("r\\f", ["orientation_corrected"])],
)  # fmt: skip
def test_what_the_header_may_say(value: str, codes: list[str]) -> None:
    turn, notices = read_turn(value)
    assert [notice.code for notice in notices] == codes
    assert (turn == Turn()) == ("orientation_corrected" not in codes)


def test_a_film_of_oblong_pixels_is_squared_before_it_is_turned(write_dicom, ramp: np.ndarray) -> None:
    path = write_dicom(ramp, PatientOrientation=["F", "L"], PixelSpacing=[0.4, 0.2])
    assert read_dicom(path).pixels.shape == (48, 80)
