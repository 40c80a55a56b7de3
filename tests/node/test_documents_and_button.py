"""Reports in DICOM objects, and the button in a real Orthanc."""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom", reason="needs the extra pacs")

from pydicom import dcmread
from tests.node_films import NAMED, SAID, report_of, result_of, write_film

import orthanc
from lingula.errors import InputError
from lingula.node.objects import result_objects
from lingula.reading.dicom.document import document_text
from lingula.reading.limits import Limits
from served import made_up, served


def test_a_report_is_read_and_a_result_of_ours_is_none(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.dcm")
    said = document_text(report_of(film, tmp_path / "report.dcm").read_bytes(), Limits())
    assert said == f"Findings: {SAID} {NAMED}"
    (own,) = result_objects(result_of(film), ["sr"])
    for data in (own.data, film.read_bytes()):
        with pytest.raises(InputError) as refused:
            document_text(data, Limits())
        assert refused.value.code == "not_a_report"


def test_the_button_opens_the_answer_and_says_when_nobody_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if orthanc.program() is None or orthanc.plugin("OrthancPython") is None:
        pytest.skip("Orthanc with its Python plugin is not installed")
    script = Path(__file__).parents[2] / "integrations" / "orthanc" / "lingula_similar.py"
    more = {"Plugins": [str(orthanc.plugin("OrthancPython"))], "PythonScript": str(script)}
    film = write_film(tmp_path / "film.dcm")
    with served(made_up(tmp_path, 4)) as server:
        monkeypatch.setenv("LINGULA_URL", server.address.split("?")[0].rstrip("/"))
        with orthanc.running(tmp_path / "orthanc", more) as archive:
            archive.add(film)
            (study,) = archive.get("/studies")
            with urllib.request.urlopen(f"{archive.url}/lingula/studies/{study}", timeout=60) as page:
                assert page.url.startswith(f"{os.environ['LINGULA_URL']}/case/")
                assert b"Not for diagnostic use" in page.read()
            with urllib.request.urlopen(f"{archive.url}/app/explorer.js", timeout=60) as explorer:
                assert explorer.status == 200
    monkeypatch.setenv("LINGULA_URL", f"http://127.0.0.1:{orthanc.free_port()}")
    with orthanc.running(tmp_path / "alone", more) as archive:
        archive.add(film)
        (study,) = archive.get("/studies")
        with urllib.request.urlopen(f"{archive.url}/lingula/studies/{study}", timeout=60) as page:
            assert b"did not answer" in page.read()
        assert (
            str(dcmread(film).StudyInstanceUID) == archive.get(f"/studies/{study}")["MainDicomTags"]["StudyInstanceUID"]
        )
