"""The laboratory's commands on sets that are missing, damaged or too small: one line with a code, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests import made_up
from typer.testing import CliRunner

from lingula.cli.main import app
from lingula.errors import InputError
from lingula.openi.splits import Split
from lingula_lab.data.provenance import OPENI, PHANTOM, UNKNOWN, named, recognised
from lingula_lab.data.study_set import StudySet
from lingula_lab.evaluation.inputs import Request
from lingula_lab.evaluation.run import evaluate

runner = CliRunner()


def _set(folder: Path, count: int) -> StudySet:
    return StudySet.build(made_up.studies(count), folder, made_up.vocabulary(), made_up.architecture().preprocessing)


def _refused(*words: object) -> InputError:
    result = runner.invoke(app, [str(word) for word in words])
    assert isinstance(result.exception, InputError), result.exception
    assert "\n" not in str(result.exception)
    return result.exception


def test_sets_that_are_missing_or_damaged(tmp_path: Path) -> None:
    made_up.checkpoint(tmp_path / "tiny")
    (tmp_path / "file").write_text("x")
    for folder, code in ((tmp_path / "nowhere", "not_found"), (tmp_path / "file", "not_found")):
        assert _refused("train", folder, tmp_path / "out", "--preset", "tiny").code == code
        assert _refused("graph", tmp_path, folder, tmp_path / "out").code == code
        assert _refused("evaluate", tmp_path / "tiny", "--data", folder, "--out", tmp_path / "out").code == code
    _set(tmp_path / "whole", 3)
    listed = (tmp_path / "whole" / "studies.json").read_text()
    for content in ("", "[]", "{}", '{"studies": [], "size": 64}', listed[:-9], listed.replace('"views"', '"view"')):
        (tmp_path / "whole" / "studies.json").write_text(content)
        assert _refused("train", tmp_path / "whole", tmp_path / "out", "--preset", "tiny").code == "bad_request"
    (tmp_path / "whole" / "studies.json").write_text(listed)
    (tmp_path / "whole" / "films.u8").write_bytes(b"short")
    assert _refused("evaluate", tmp_path / "tiny", "--data", tmp_path / "whole").code == "bad_request"
    (tmp_path / "whole" / "films.u8").unlink()
    assert _refused("graph", tmp_path, tmp_path / "whole", tmp_path / "out").code == "not_found"


def test_a_set_of_another_collection_than_the_split(tmp_path: Path) -> None:
    _set(tmp_path / "set", 3)
    assert _refused("graph", tmp_path, tmp_path / "set", tmp_path / "out").code == "bad_request"
    assert _refused("train", tmp_path / "set", tmp_path / "out", "--preset", "tiny").code == "bad_request"


@pytest.mark.parametrize("sizes", [(1, 1, 1), (10, 8, 30), (30, 30, 1), (12, 12, 5)], ids=str)
def test_sets_too_small_to_measure_on(tmp_path: Path, sizes: tuple[int, int, int]) -> None:
    data = _set(tmp_path / "set", sum(sizes))
    ends = [sizes[0], sizes[0] + sizes[1], sum(sizes)]
    parts = [data.ids[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    request = Request(
        made_up.checkpoint(tmp_path / "tiny"), data, Split("few", 0, parts[0], parts[1], parts[2]),
        collection=None, trunk=None, library=None, resamples=100, seed=0, command="",
    )  # fmt: skip
    with pytest.raises(InputError) as refused:
        evaluate(request, tmp_path / "out")
    assert refused.value.code == "bad_request"
    assert "few" in refused.value.message or "no label" in refused.value.message


def test_provenance_is_that_of_the_data(tmp_path: Path) -> None:
    assert recognised(["CXR1", "CXR3999"]) is OPENI
    assert recognised(["CXR9001", "CXR9060"]) is PHANTOM
    for ids in ([], ["CXR1", "S1"], ["CXR1", "CXR9001"], ["S1"]):
        assert recognised(ids).name == UNKNOWN
    assert named(OPENI.name, OPENI.licence) is OPENI
    assert named(OPENI.name, "MIT").setting == UNKNOWN
    assert (
        OPENI.note
        == "Indiana University chest X-ray collection (Open-i), CC BY-NC-ND 4.0: education and research only."
    )
    made = _set(tmp_path / "set", 3)
    assert made.provenance.name == UNKNOWN
    body = json.loads((tmp_path / "set" / "studies.json").read_text())
    body["collection"] = {"name": "Films of our clinic", "licence": "for our students"}
    (tmp_path / "set" / "studies.json").write_text(json.dumps(body))
    told = StudySet.load(tmp_path / "set").provenance
    assert (told.name, told.licence, told.setting) == ("Films of our clinic", "for our students", UNKNOWN)
