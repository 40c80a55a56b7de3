"""What maps are worth: hand-made maps against hand-made boxes and sides, and every table from a tiny model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tests import made_up

from lingula.explanation import METHODS
from lingula.explanation.target import Target
from lingula.model.checkpoint import Checkpoint
from lingula.study import Radiograph
from lingula_lab.evaluation.explanation.boxes import (
    Boxed,
    centre_inside,
    overlap,
    points_inside,
    read_boxes,
)
from lingula_lab.evaluation.explanation.faithfulness import CASCADE, CELLS, deletion_insertion, randomised, raster
from lingula_lab.evaluation.explanation.pointing import boxed_labels, score_boxes
from lingula_lab.evaluation.explanation.tables import Plan, _on_side, cases_of, measure
from lingula_lab.model.checkpoint import trained_model

BOX = Boxed(Path("film.png"), "Effusion", ((60.0, 100.0, 40.0, 40.0),))  # x, y, w, h on a film of 200 x 140


def test_pointing_iou_and_precision_by_hand() -> None:
    inside, mirrored = (np.zeros((200, 140), np.float32) for _ in range(2))
    inside[110:130, 70:90] = 1
    mirrored[70:90, 110:130] = 1  # the same spot with rows and columns confused
    assert points_inside(inside, BOX)
    assert not points_inside(mirrored, BOX)
    assert not centre_inside((200, 140), replace(BOX, boxes=((0.0, 0.0, 30.0, 30.0),)))
    assert centre_inside((200, 140), BOX)
    exact = np.zeros((200, 140), np.float32)
    exact[100:140, 60:100] = 1
    iou, precision = overlap(exact, BOX)
    assert precision == pytest.approx(1, abs=0.02)
    assert iou > 0.5  # a tenth of the film is marked, the box is 6 % of it
    assert overlap(mirrored, BOX)[1] < 0.2


def test_the_mean_box_never_sees_the_film_it_is_judged_on() -> None:
    films = [made_up.film(number, (140, 140)) for number in range(3)]
    places = ((0.0, 0.0, 40.0, 40.0), (0.0, 0.0, 40.0, 40.0), (100.0, 100.0, 40.0, 40.0))
    boxes = [
        (replace(BOX, path=Path(film.image_id), boxes=(place,)), film)
        for film, place in zip(films, places, strict=True)
    ]
    rows = boxed_labels(boxes, ["pleural_effusion"])

    def exact(film: Radiograph, label: str, method: str) -> npt.NDArray[np.float32]:
        values = np.zeros(film.pixels.shape, np.float32)
        x, y, width, height = (int(edge) for edge in places[films.index(film)])
        values[y : y + height, x : x + width] = 1
        return values

    found = score_boxes(rows, exact, {"contribution": 3}, lambda *done: None, resamples=50, seed=0)
    assert found.scores["contribution"][:, 0].tolist() == [1, 1, 1]
    assert found.scores["contribution"][:, 2] == pytest.approx([1, 1, 1], abs=0.05)
    assert found.scores["typical place"][:, 0].tolist() == [1, 1, 0]  # the others of the third lie elsewhere
    assert found.scores["centre"][:, 0].tolist() == [0, 0, 0]
    assert rows[0].area == pytest.approx((40 / 140) ** 2, abs=0.02)
    assert found.pointing("contribution") == {}  # too few films to say


def test_patient_left_is_image_right() -> None:
    cells = np.zeros((CELLS, CELLS), np.float32)
    cells[3, 10] = 1
    cells[3, 2] = -5  # what speaks against does not count
    assert (_on_side(cells, "left"), _on_side(cells, "right")) == (1, 0)
    assert _on_side(np.zeros((CELLS, CELLS), np.float32), "left") == 0.5


def test_boxes_of_one_finding_on_one_film_stay_together(tmp_path: Path) -> None:
    (tmp_path / "bbox.csv").write_text(
        "image,finding,x,y,w,h\na.png,Mass,1,2,3,4\na.png,Mass,5,6,7,8\na.png,Nodule,1,1,1,1\n"
    )
    found = read_boxes(tmp_path)
    assert [(b.finding, len(b.boxes)) for b in found] == [("Mass", 2), ("Nodule", 1)]


def test_random_weights_are_random_in_both_trunks(checkpoint: Checkpoint) -> None:
    pair = made_up.trained(made_up.model(image=made_up.MOBILE, levels=(13, 25), fold=True, trunks=2))
    before, after = (trained_model(c).state_dict() for c in (pair, randomised(pair, len(CASCADE), seed=0)))
    trunks = [name for name in before if name.startswith(("image_encoder.backbone.", "image_encoder.beside."))]
    assert {name.split(".")[1] for name in trunks} == {"backbone", "beside"}
    assert not [name for name in trunks if torch.equal(before[name], after[name])]


def test_deletion_and_insertion_against_a_naive_twin(checkpoint: Checkpoint) -> None:
    """With two steps: nothing gone, half gone, all gone; and the other way round."""
    question = Target.ask(checkpoint, made_up.study(4).image_only(), "normal", "image")
    values = np.zeros((CELLS, CELLS), np.float32)
    values[: CELLS // 2] = 1  # the upper half is strongest

    from lingula.explanation.target import blurred
    from lingula_lab.evaluation.explanation.faithfulness import probabilities

    pixels, empty = question.pixels, blurred(question.pixels)
    lower, upper, film = pixels.copy(), pixels.copy(), pixels.copy()
    size = pixels.shape[-1]
    width = round(80 / 96 * size)
    left, middle = (size - width) // 2, size // 2
    inside = (..., slice(left, left + width))
    film[inside] = empty[inside]
    lower[..., :middle, left : left + width] = empty[..., :middle, left : left + width]
    upper[..., middle:, left : left + width] = empty[..., middle:, left : left + width]
    whole, gone, without_upper, without_lower = (
        float(probabilities(question, each)[0]) for each in (pixels, film, lower, upper)
    )
    deletion, insertion = deletion_insertion(question, 0, values, steps=2)
    assert deletion == pytest.approx((whole + without_upper + gone) / 3, abs=1e-5)
    assert insertion == pytest.approx((gone + without_lower + whole) / 3, abs=1e-5)


def test_every_table_from_a_tiny_model(checkpoint: Checkpoint) -> None:
    studies = [replace(made_up.study(i), terms=("Pleural Effusion/left", "Cardiomegaly")) for i in range(4)]
    cases = [case for study in studies for case in cases_of(study, checkpoint)]
    assert {(case.label, case.side) for case in cases} == {("pleural_effusion", "left"), ("cardiomegaly", None)}
    assert all(len(case.study.radiographs) == 1 for case in cases)
    film = made_up.film(9, (96, 80))
    boxed = [(replace(BOX, boxes=((10.0, 20.0, 30.0, 40.0),)), film)]
    plan = Plan(films=4, slow=2, randomised=3, pairs=5, reports=2, resamples=100)
    found = measure(checkpoint, cases, boxed, plan)
    tables = {table.key.removeprefix("explanation_"): table for table in found.tables}
    assert set(tables) == {"faithful", "randomised", "sides", "boxes", "words", "lungs", "published"}
    assert set(found.trust) == set(METHODS)
    faithful = tables["faithful"]
    assert faithful.figure("random", "deletion vs random").value == 0
    assert faithful.figure("centre", "insertion vs centre").value == 0
    gain = faithful.figure("gradcam", "deletion vs random").value
    assert gain == pytest.approx(
        faithful.figure("random", "deletion").value - faithful.figure("gradcam", "deletion").value
    )
    assert faithful.figure("contribution", "completeness").value < 1e-4
    assert faithful.figure("integrated_gradients", "deletion").n == 2
    assert faithful.figure("occlusion", "deletion").n == 4
    assert not found.trust["attention"].passed  # without a report its map is the same for every label
    assert tables["randomised"].figure("attention", "two labels").value == pytest.approx(1)
    assert tables["sides"].figure("contribution", "all").n == 4
    assert tables["boxes"].figure("centre", "pointing").n == 1
    assert [row.name for row in tables["words"].rows] == ["contribution", "attention", "integrated_gradients", "random"]
    assert raster(np.ones((30, 20), np.float32)).shape == (CELLS, CELLS)
