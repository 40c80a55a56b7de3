"""PatientOrientation (PS3.3 C.7.6.1.1.1): mirrored, turned and upside-down films brought into the reading position.

Of a frontal film rows run to the patient's left, columns to the feet; of a lateral one columns run to the feet, rows to
the back or to the front.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lingula.errors import Notice

_AXES = {"L": "x", "R": "x", "A": "y", "P": "y", "H": "z", "F": "z"}


@dataclass(frozen=True, slots=True)
class Turn:
    """What brings a film upright: transpose first, then mirror left and right, then top and bottom."""

    transpose: bool = False
    mirror: bool = False
    flip: bool = False

    def apply(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self == Turn():
            return pixels
        turned = pixels.T if self.transpose else pixels
        turned = turned[:, ::-1] if self.mirror else turned
        return np.ascontiguousarray(turned[::-1] if self.flip else turned)


def read_turn(value: str) -> tuple[Turn, tuple[Notice, ...]]:
    """The turn that the text of a PatientOrientation asks for, with orientation_corrected or bad_orientation.

    Args:
        value: direction of rows, backslash, direction of columns, each of the letters A P L R F H, the first the main
            one; empty where the header says nothing.
    """
    if not value.strip("\\ "):
        return Turn(), ()
    main = [part.strip()[:1].upper() for part in value.split("\\")]
    axes = [_AXES.get(letter, "") for letter in main]
    if (
        len(main) != 2
        or sorted(axes) not in (["x", "z"], ["y", "z"])
        or not re.fullmatch(r"[APLRHF\\ ]+", value.upper())
    ):
        message = "PatientOrientation does not say how the film lies; it is shown as it is stored."
        return Turn(), (Notice("bad_orientation", message),)
    transpose = axes[0] == "z"
    along, down = reversed(main) if transpose else main
    flip = down == "H"
    turn = Turn(transpose, along == "R" if "x" in axes else transpose != flip, flip)  # a lateral film is only rotated
    if turn == Turn():
        return turn, ()
    message = (
        f"PatientOrientation {main[0]}\\{main[1]}: the film was {_said(turn)}, so that it lies as films are read; "
        "letters burned into it were turned with it."
    )
    return turn, (Notice("orientation_corrected", message),)


def _said(turn: Turn) -> str:
    flips = turn.mirror + turn.flip
    if turn.transpose:
        return "turned a quarter" if flips == 1 else "turned a quarter and mirrored"
    return "turned upside down" if flips == 2 else "mirrored" if turn.mirror else "mirrored top to bottom"
