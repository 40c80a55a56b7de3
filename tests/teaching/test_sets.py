"""Sets: stored, changed, carried to another library as one file; what a study shows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.teaching.conftest import FINDINGS

from lingula.errors import InputError, LibraryError
from lingula.library import Library
from lingula.teaching.sets import (
    Drawing,
    TeachingCase,
    TeachingSet,
    add_cases,
    change_set,
    choices_of,
    export_set,
    import_set,
    load_set,
    load_sets,
    new_set,
    shown_findings,
)

BOX = Drawing("box", 0, ((0.6, 0.7), (0.9, 0.95)), "effusion")


def test_a_set_is_stored_changed_and_carried_elsewhere(library: Library) -> None:
    made = new_set(library, "Effusions", owner="Ann", study_ids=["CXR1", "CXR5"])
    case = TeachingCase("CXR5", "And here?", "Look at the angles.", "Both angles.", ("pleural_effusion",), (BOX,))
    changed = change_set(library, replace(made, cases=(made.cases[1], case) and (case, made.cases[0])))
    assert changed.version == 2
    assert load_set(library, made.set_id) == load_set(library, "Effusions") == changed
    text = export_set(changed)
    for study_id in changed.ids:
        report = library.get(study_id).report
        assert report
        assert report.text not in text
    again = import_set(library, text)
    assert again.set_id != made.set_id
    assert replace(again, set_id=changed.set_id, version=2) == changed
    assert len(load_sets(library)) == 2
    assert add_cases(library, again, ["CXR1", "CXR7"]).ids == ("CXR5", "CXR1", "CXR7")


def test_what_is_no_set_is_refused_in_words(library: Library, tmp_path: Path) -> None:
    good = json.loads(export_set(new_set(library, "A", owner="", study_ids=["CXR1"])))
    bad: list[tuple[str, Any]] = [
        ("no title", {**good, "title": " "}),
        ("twice", {**good, "cases": good["cases"] * 2}),
        ("no exported set", {**good, "format": "other"}),
        ("names no study", {**good, "cases": [{}]}),
        ("outside the film", _drawn(good, {"shape": "box", "film": 0, "points": [[0, 0], [1.2, 1]]})),
        ("2 points", _drawn(good, {"shape": "box", "film": 0, "points": [[0, 0]]})),
        ("a box, a point or an arrow", _drawn(good, {"shape": "star", "film": 0, "points": []})),
    ]
    for words, body in bad:
        with pytest.raises(InputError, match=words):
            import_set(library, json.dumps(body))
    with pytest.raises(InputError, match="no JSON"):
        import_set(library, b"\xff\x00")
    with pytest.raises(LibraryError) as refused:
        import_set(library, json.dumps({**good, "cases": [{"study_id": "CXR99"}]}))
    assert refused.value.code == "study_unknown"


def _drawn(good: dict[str, Any], drawing: dict[str, Any]) -> dict[str, Any]:
    return {**good, "cases": [{**good["cases"][0], "drawings": [drawing]}]}


def test_choices_are_those_of_the_whole_set(library: Library) -> None:
    made = new_set(library, "A", owner="", study_ids=["CXR2", "CXR5", "CXR3"])
    chosen = choices_of(made, library, FINDINGS.codes, "normal")
    assert {"nodule_mass", "cardiomegaly", "pleural_effusion"} < set(chosen)
    assert "normal" not in chosen
    assert len(chosen) == 4
    named = TeachingSet("s", "", "A", choices=("granuloma",))
    assert choices_of(named, library, FINDINGS.codes, "normal") == ("granuloma",)


def test_a_study_shows_what_is_coded_or_else_reported(library: Library) -> None:
    record = library.get("CXR5")
    assert shown_findings(record, "normal") == {"cardiomegaly", "pleural_effusion"}
    assert shown_findings(library.get("CXR3"), "normal") == frozenset()
    assert shown_findings(replace(record, labels=None), "normal") == {"cardiomegaly", "pleural_effusion"}
    assert shown_findings(replace(record, labels=None, report=None), "normal") == frozenset()
