"""What of a judged film is watched over time: plain figures of its picture and of the answer, nothing of a patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lingula.library.observation_records import FilmObservation
from lingula.study import Analysis, FilmJudgement, Radiograph

Pixels = npt.NDArray[np.float32]
_LAPLACE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
CROP = 512
"""Side of the middle of a film on which its noise is measured, in pixels."""
FRAME = 0.06
"""Of a side: how far the outer frame of a film reads."""


def observations(
    analysis: Analysis,
    files: Sequence[tuple[Radiograph, Mapping[str, str]]],
    *,
    node: str,
    sender: str,
    at: float,
    normal: str | None,
) -> tuple[FilmObservation, ...]:
    """One observation a film of a study that was answered; its findings stand with the first.

    Args:
        files: films with their headers (``SOPClassUID``, ``Modality``, ``ViewPosition``).
        at: seconds since 1970. normal: label of a film without findings.
    """
    judged = {film.image_id: film for film in analysis.films}
    abnormal = [p for p in analysis.predictions if p.label != normal]
    flags = sum(p.decision == "present" for p in abnormal) if analysis.predictions else None
    healthy = next((p.probability for p in analysis.predictions if p.label == normal), None)
    made = []
    for number, (film, header) in enumerate(files):
        said = judged.get(film.image_id)
        first = number == 0
        made.append(
            FilmObservation(
                node=node, sender=sender, at=at, kind=kind_of(header), code="",
                view_fault=said is not None and is_view_fault(header.get("ViewPosition", ""), said),
                polarity_fault=any(notice.code == "polarity_suspect" for notice in film.notices),
                unfamiliar=said is not None and said.familiarity != "known",
                flags=flags if first else None,
                findings=1 - healthy if first and healthy is not None else None,
                familiarity=said.known if said is not None else None,
                **picture_measures(film.pixels),
            )
        )  # fmt: skip
    return tuple(made)


def refusal(header: Mapping[str, str], code: str, *, node: str, sender: str, at: float) -> FilmObservation:
    """The observation of a film that could not be judged."""
    return FilmObservation(node=node, sender=sender, at=at, kind=kind_of(header), code=code)


def kind_of(header: Mapping[str, str]) -> str:
    """What kind of object a film is: its SOP class and modality."""
    return f"{header.get('SOPClassUID', '')} {header.get('Modality', '')}".strip()


def is_view_fault(view_position: str, said: FilmJudgement) -> bool:
    """Whether the header names another view than the picture shows: a lateral as PA or AP, or the reverse."""
    named = view_position.upper().strip()
    is_lateral = said.projection == "lateral"
    return (named in ("PA", "AP") and is_lateral) or (named in ("LL", "RL", "LATERAL") and not is_lateral)


def picture_measures(pixels: Pixels) -> dict[str, float]:
    """Brightness and contrast (mean and spread of display values), noise (sigma by Immerkær, 1996, on the middle), and
    the sharpness of the outer frame, where words are burned in (mean absolute step between neighbours)."""
    rows, columns = pixels.shape
    step = max(rows, columns) // 256 or 1
    small = pixels[::step, ::step]
    top, left = max((rows - CROP) // 2, 0), max((columns - CROP) // 2, 0)
    middle = pixels[top : top + CROP, left : left + CROP]
    return {
        "brightness": float(small.mean()),
        "contrast": float(small.std()),
        "noise": _noise(middle),
        "frame": _steps_in_frame(small),
    }


def _noise(pixels: Pixels) -> float:
    if min(pixels.shape) < 3:
        return 0.0
    total = sum(
        weight * pixels[i : pixels.shape[0] - 2 + i, j : pixels.shape[1] - 2 + j]
        for i, line in enumerate(_LAPLACE)
        for j, weight in enumerate(line)
    )
    return float(np.median(np.abs(np.asarray(total)))) / 0.6745 / 6


def _steps_in_frame(pixels: Pixels) -> float:
    rows, columns = pixels.shape
    depth, width = max(round(FRAME * rows), 2), max(round(FRAME * columns), 2)
    strips = (pixels[:depth], pixels[-depth:], pixels[:, :width], pixels[:, -width:])
    steps = [np.abs(np.diff(strip, axis=axis)).mean() for strip in strips for axis in (0, 1)]
    return float(max(steps))
