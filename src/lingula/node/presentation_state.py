"""Evidence over a film as a Grayscale Softcopy Presentation State (PS3.3 A.33.1): boxes and words, no window.

A presentation state with a VOI LUT would overwrite the reader's window on each image, so that none is given. Its
Presentation LUT Shape takes the place of the film's polarity (PS3.3 C.11.6): INVERSE where the film's high values are
dark, once, whichever of its elements say so.
"""

from __future__ import annotations

import numpy as np
from highdicom import pr
from highdicom.content import PresentationLUTTransformation

from lingula.node.result import StudyResult, statement
from lingula.node.source_film import SourceFilm
from lingula.study import DISCLAIMER

LAYER = "LINGULA"


def presentation_state(result: StudyResult, film: int) -> pr.GrayscaleSoftcopyPresentationState:
    """The presentation state of one film of the study, by its row."""
    source = result.films[film]
    layer = pr.GraphicLayer(LAYER, order=1, description="Evidence for findings")
    made = pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[source.dataset],
        sop_instance_uid=result.uid("gsps", source.sop_instance),
        instance_number=film + 1,
        content_label="LINGULA",
        content_description=DISCLAIMER,
        content_creator_name="lingula",
        graphic_layers=[layer],
        graphic_annotations=[_annotation(result, film, layer)],
        presentation_lut_transformation=PresentationLUTTransformation("INVERSE" if source.is_inverted else "IDENTITY"),
        **result.maker("gsps"),
    )
    made.Laterality = None
    _set_aspect(made, source)
    _set_turn(made, source)
    return made


def _annotation(result: StudyResult, film: int, layer: pr.GraphicLayer) -> pr.GraphicAnnotation:
    source = result.films[film]
    shapes, words = [], []
    for number, box in enumerate(result.boxes):
        if box.film != film:
            continue
        corners = source.stored(box.corners)
        tracking = {"tracking_id": box.name, "tracking_uid": result.uid("sr", "tracking", "region", str(number + 1))}
        outline = np.array([*corners, corners[0]])
        shapes.append(pr.GraphicObject("POLYLINE", outline, units="PIXEL", **tracking))
        words.append(
            pr.TextObject(box.name, units="PIXEL", anchor_point=_top_left(corners), anchor_point_visible=False)
        )
    said = "\r\n".join([*result.lines(), statement(result.analysis.model)])
    words.append(pr.TextObject(said, units="DISPLAY", bounding_box=(0.01, 0.86, 0.99, 0.99), text_justification="LEFT"))
    return pr.GraphicAnnotation([source.dataset], layer, graphic_objects=shapes or None, text_objects=words)


def _top_left(corners: list[tuple[float, float]]) -> tuple[float, float]:
    return min(x for x, _ in corners), min(y for _, y in corners)


def _set_aspect(made: pr.GrayscaleSoftcopyPresentationState, source: SourceFilm) -> None:
    """The size of a pixel, where the film tells it: in millimetres, else as height to width."""
    (area,) = made.DisplayedAreaSelectionSequence
    aspect = source.header.get("PixelAspectRatio", "").split("\\")
    if "PixelSpacing" in source.dataset:
        del area.PresentationPixelAspectRatio
        area.PresentationPixelSpacing = source.dataset.PixelSpacing
    elif len(aspect) == 2 and all(part.isdigit() and int(part) for part in aspect):
        area.PresentationPixelAspectRatio = [int(part) for part in aspect]


def _set_turn(made: pr.GrayscaleSoftcopyPresentationState, source: SourceFilm) -> None:
    """Rotation and flip that bring a film upright (PS3.3 C.10.6): the rotation comes first, clockwise."""
    turn = source.turn
    rotation, flips = 0, turn.mirror
    if turn.transpose:  # a transposition is a quarter clockwise, then left and right exchanged
        rotation, flips = 90, not turn.mirror
    if turn.flip:  # top and bottom exchanged are half a turn, then left and right
        rotation, flips = (rotation + 180) % 360, not flips
    (area,) = made.DisplayedAreaSelectionSequence
    rows, columns = source.radiograph.pixels.shape
    ends = source.stored([(0, 0), (columns, rows)])  # the corners of the stored pixels that lie top left, bottom right
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = (
        [max(round(x), 1), max(round(y), 1)] for x, y in ends
    )
    made.ImageRotation, made.ImageHorizontalFlip = rotation, "Y" if flips else "N"
