"""Maps that point nowhere are not given unasked; the typical place of a finding is a map of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests import made_up

from lingula.errors import InputError
from lingula.explanation import METHODS, TYPICAL_PLACE, explain, pointing_of, shown_methods, trust
from lingula.explanation.typical_place import typical_places
from lingula.model.checkpoint import Checkpoint
from lingula.page.evidence import trust_marks
from lingula.page.explained import shown_explanation
from lingula.plain import plain
from lingula.study import Pointing, Report, Study

FRONTAL, LATERAL = made_up.film(1, (150, 90)), made_up.film(2, (50, 81), "lateral")
STUDY = Study("S", (FRONTAL, LATERAL), Report.from_sections(findings="Fluid blunts the left angle."))
GOOD = Pointing(
    films=20, share=0.4, low=0.2, high=0.6, area=0.07, typical=0.1, precision=0.3, typical_precision=0.2
)  # fmt: skip
POOR = replace(GOOD, share=0.1, low=0.0)
RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "boxes.json"


@pytest.fixture
def measured(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    """A model whose contributions point at effusions and not at nodules."""
    mark = checkpoint.fingerprint
    table = {(mark, "contribution", "pleural_effusion"): GOOD, (mark, "contribution", "nodule_mass"): POOR}
    monkeypatch.setattr(trust, "_pointing", lambda: table)
    return checkpoint


def test_localisable_is_what_points_better_than_a_blind_point() -> None:
    assert GOOD.localisable
    assert not POOR.localisable
    assert not replace(GOOD, low=GOOD.area).localisable


@pytest.mark.parametrize(
    ("label", "localisable"), [("pleural_effusion", True), ("nodule_mass", False), ("cardiomegaly", None)]
)
def test_a_map_that_points_nowhere_is_given_when_asked_for_anyway(
    measured: Checkpoint, label: str, localisable: bool | None
) -> None:
    (unasked,) = explain(STUDY, measured, label, methods=["contribution"])
    (anyway,) = explain(STUDY, measured, label, methods=["contribution"], anyway=True)
    assert unasked.localisable is anyway.localisable is localisable
    assert len(unasked.maps) == (0 if localisable is False else 2)
    assert len(anyway.maps) == 2
    assert unasked.tokens == anyway.tokens  # words are not withheld
    told = plain(shown_explanation(STUDY, unasked, {}))
    assert told["localisable"] is localisable
    assert len(told["maps"]) == len(unasked.maps)
    said = " ".join(trust_marks(unasked))
    assert ("Cannot be localised" in said) == (localisable is False)
    assert ("not measured" in said) == (localisable is None)


def test_of_a_report_alone_nothing_is_localised(measured: Checkpoint) -> None:
    (found,) = explain(STUDY.text_only(), measured, "nodule_mass", methods=["contribution"])
    assert found.localisable is None


def test_the_typical_place_is_the_same_for_every_film_and_never_unasked(checkpoint: Checkpoint) -> None:
    assert TYPICAL_PLACE not in METHODS
    assert TYPICAL_PLACE not in shown_methods(checkpoint.fingerprint, [*METHODS, TYPICAL_PLACE])
    one, other = (
        explain(Study("S", (film, LATERAL)), checkpoint, "cardiomegaly", methods=[TYPICAL_PLACE])[0]
        for film in (FRONTAL, made_up.film(5, (150, 90)))
    )
    np.testing.assert_array_equal(one.maps[0], other.maps[0])
    assert one.maps[0].shape == FRONTAL.pixels.shape
    assert not one.maps[1].any()  # boxes lie on frontal films
    row, column = np.unravel_index(int(one.maps[0].argmax()), one.maps[0].shape)
    assert row > 0.5 * 150  # a heart lies low
    assert 0.4 * 90 < column < 0.8 * 90  # and from the middle to the patient's left, which is image right
    assert "was not looked at" in " ".join(trust_marks(one))
    with pytest.raises(InputError, match="not known"):
        explain(STUDY, checkpoint, "spinal_curvature", methods=[TYPICAL_PLACE])


def test_what_ships_is_what_was_measured() -> None:
    result = json.loads(RESULT.read_text())
    for method, labels in result["by_label"].items():
        for label, row in labels.items():
            told = pointing_of(result["model"], method, label)
            assert told is not None
            assert (told.films, told.localisable) == (row["n"], row["localisable"])
            assert told.share == pytest.approx(row["pointing"]["value"], abs=1e-4)
    told = {label: row["localisable"] for label, row in result["by_label"]["contribution"].items()}
    assert not told["nodule_mass"]
    assert not told["pneumothorax"]
    assert told["cardiomegaly"]
    assert set(typical_places()) == set(told)
