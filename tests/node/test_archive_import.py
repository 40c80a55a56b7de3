"""Importing a real Orthanc, by both ways: what is new comes, what is deleted there goes, reports are found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

pytest.importorskip("pynetdicom", reason="needs the extra pacs")

from tests.node_films import SAID, picture, report_of, result_of, write_film

import orthanc
from lingula.errors import InputError, NodeError
from lingula.library.identity import pseudonym
from lingula.model.checkpoint import Checkpoint, load_checkpoint
from lingula.node.archive_import import ArchiveIndex, DimseIndex, WebIndex, import_archive, peer_of
from lingula.node.node import node_library
from lingula.node.objects import result_objects
from lingula.node.settings import WebTarget
from lingula.reading.sandbox import Sandbox


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[orthanc.Orthanc]:
    if orthanc.program() is None or orthanc.plugin("OrthancDicomWeb") is None:
        pytest.skip("Orthanc with its DICOMweb plugin is not installed")
    with orthanc.running(tmp_path / "orthanc") as running:
        yield running


@pytest.fixture(scope="module")
def model() -> Checkpoint:
    return load_checkpoint("compact")


@pytest.mark.parametrize("way", ["dicomweb", "dimse"])
def test_an_archive_is_indexed_and_followed(
    way: str, tmp_path: Path, archive: orthanc.Orthanc, model: Checkpoint
) -> None:  # fmt: skip
    films = [write_film(tmp_path / f"{n}.dcm", number=n) for n in range(3)]
    archive.add(*films, report_of(films[0], tmp_path / "report.dcm"))
    (own,) = result_objects(result_of(films[1]), ["sr"])
    archive.post("/instances", own.data)
    peer = peer_of(f"ARCHIVE@127.0.0.1:{archive.dicom}")
    index: ArchiveIndex = WebIndex(WebTarget(archive.dicom_web)) if way == "dicomweb" else DimseIndex(peer)
    with node_library(str(tmp_path / "library.sqlite"), model) as library, Sandbox() as sandbox:
        first = import_archive(library, model, index, sandbox)
        assert (first.listed, first.known, first.gone, first.imported.added) == (3, 0, 0, 3)
        reports = [each.report for each in library.summaries(library.ids()).values() if each.report]
        assert [SAID in report.text for report in reports] == [True]  # and our own result is no report
        assert [mark for mark in ("Roe", "Jäne", "A-99") if mark in reports[0].text] == []
        again = import_archive(library, model, index, sandbox)
        assert (again.known, again.imported.added) == (3, 0)
        study = archive.get("/studies")[0]
        archive.delete(f"/studies/{study}")
        followed = import_archive(library, model, index, sandbox)
        assert (followed.listed, followed.gone, len(library)) == (2, 1, 2)
        for study in archive.get("/studies"):
            archive.delete(f"/studies/{study}")
        with pytest.raises(NodeError):  # an archive that lists nothing deletes nothing
            import_archive(library, model, index, sandbox)
        assert len(library) == 2


@pytest.mark.parametrize("wrong", ["ARCHIVE", "A@b", "A@b:x", "@b:1", "A" * 17 + "@b:1"])
def test_a_peer_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(InputError):
        peer_of(wrong)


@pytest.mark.parametrize("way", ["dicomweb", "dimse"])
def test_what_comes_to_a_study_later_is_followed(
    way: str, tmp_path: Path, archive: orthanc.Orthanc, model: Checkpoint
) -> None:  # fmt: skip
    """A second film, then a report, then the first film deleted there; results of ours change nothing."""
    study = "1.2.826.0.1.3680043.8.498.77"
    first = write_film(tmp_path / "1.dcm", number=1, study=study)
    second = write_film(tmp_path / "2.dcm", number=2, study=study, pixels=picture()[::-1])
    archive.add(first, write_film(tmp_path / "9.dcm", number=9))
    peer = peer_of(f"ARCHIVE@127.0.0.1:{archive.dicom}")
    index: ArchiveIndex = WebIndex(WebTarget(archive.dicom_web)) if way == "dicomweb" else DimseIndex(peer)
    with node_library(str(tmp_path / "library.sqlite"), model) as library, Sandbox() as sandbox:

        def follow() -> tuple[int, int, int]:
            done = import_archive(library, model, index, sandbox)
            assert done.imported.refused == ()
            return done.changed, done.imported.added, len(library.get(study_id).radiographs)

        import_archive(library, model, index, sandbox)
        study_id = pseudonym(library.secret, study)
        assert follow() == (0, 0, 1)
        archive.add(second)
        assert follow() == (1, 1, 2)
        archive.add(report_of(first, tmp_path / "report.dcm"))
        assert follow() == (1, 1, 2)
        told = library.get(study_id).report
        assert told is not None
        assert SAID in told.text
        (own,) = result_objects(result_of(first), ["sr"])
        archive.post("/instances", own.data)
        assert follow() == (1, 0, 2)
        assert follow() == (0, 0, 2)
        gone = str(dcmread(first, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
        (instance,) = archive.post("/tools/lookup", gone.encode())
        archive.delete(f"/instances/{instance['ID']}")
        assert follow() == (1, 1, 1)
        assert pseudonym(library.secret, gone) not in {film.image_id for film in library.get(study_id).radiographs}
        assert len(library) == 2
