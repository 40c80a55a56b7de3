"""Folders of one's own: every film in once, under a name that tells nothing; every refusal named."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from lingula.deidentification.burned_text import find_text
from lingula.errors import InputError
from lingula.ingest.batches import Imported
from lingula.ingest.files import import_files
from lingula.ingest.openi import import_openi
from lingula.library import Library
from lingula.model.checkpoint import Checkpoint
from lingula.reading.dicom.identity import is_uid
from lingula.reading.sandbox import Sandbox
from own_films import dicom, own_folder, picture


class Counting(Sandbox):
    """Counts how often each file is decoded."""

    def __init__(self) -> None:
        super().__init__(2)
        self.decoded: Counter[Path] = Counter()

    def read_file(self, path: Path):  # type: ignore[no-untyped-def]
        self.decoded[path] += 1
        return super().read_file(path)


@pytest.fixture
def put(tmp_path: Path):  # type: ignore[no-untyped-def]
    root = tmp_path / "films"

    def write(name: str, data: bytes | str) -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return root

    return write


def codes(result: Imported) -> dict[str, str]:
    return {str(each.path): each.code for each in result.refused}


def test_pictures_of_equal_names_are_studies_of_their_own(library: Library, checkpoint: Checkpoint, put) -> None:  # type: ignore[no-untyped-def]
    put("a/image.png", picture(1))
    put("b/image.png", picture(2))
    put("c/image.jpg", picture(3, "JPEG"))
    root = put("c/copy.jpg", picture(3, "JPEG"))
    with Counting() as sandbox:
        first = import_files(library, checkpoint, root, sandbox)
        assert (first.added, first.present, first.copies, first.refused) == (3, 0, 1, ())
        assert sorted(sandbox.decoded.values()) == [1, 1, 1]
        assert all(name.startswith("film-") and len(name) == 17 for name in library.ids())
        again = import_files(library, checkpoint, root, sandbox)
        assert (again.added, again.present) == (0, 3)
        assert sum(sandbox.decoded.values()) == 3  # nothing was decoded again


def test_a_tree_that_says_so_plainly_makes_studies(
    library: Library, checkpoint: Checkpoint, sandbox: Sandbox, put  # type: ignore[no-untyped-def]
) -> None:  # fmt: skip
    for patient in range(1, 5):
        root = put(f"patient{patient}/study1/view1_frontal.jpg", picture(patient, "JPEG"))
    put("patient4/study1/view2_lateral.jpg", picture(9, "JPEG"))
    put("patient4/study2/view1_frontal.jpg", picture(10, "JPEG"))
    put("patient4/study2.txt", "FINDINGS: Clear lungs.")
    result = import_files(library, checkpoint, root, sandbox)
    assert (result.added, result.images, result.refused) == (5, 6, ())
    assert sorted(len(library.get(each).radiographs) for each in library.ids()) == [1, 1, 1, 1, 2]
    assert [one.report.text for one in map(library.get, library.ids()) if one.report] == ["FINDINGS: Clear lungs."]


def test_dicom_is_grouped_by_study_and_renamed(
    library: Library, checkpoint: Checkpoint, sandbox: Sandbox, put  # type: ignore[no-untyped-def]
) -> None:  # fmt: skip
    put("1", dicom(1, study="1.2.3"))
    put("x/2.dcm", dicom(2, study="1.2.3"))
    root = put("x/2.rpt", "IMPRESSION: Small effusion.")
    assert import_files(library, checkpoint, root, sandbox).added == 1
    (study_id,) = library.ids()
    record = library.get(study_id)
    assert study_id.startswith("2.25.")
    assert is_uid(study_id)
    assert {image.image_id[:5] for image in record.radiographs} == {"2.25."}
    assert record.report
    assert record.report.text == "IMPRESSION: Small effusion."
    put("x/2.rpt", "IMPRESSION: None.")  # the same films with another report: said, not passed over
    put("x/3.dcm", dicom(3, study="1.2.3"))
    again = import_files(library, checkpoint, root, sandbox)
    assert (again.added, again.present) == (0, 1)
    assert codes(again) == {"x/3.dcm": "uid_conflict"}


def test_a_film_that_comes_later_joins_its_study(
    library: Library, checkpoint: Checkpoint, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Alone or among films that are there; what is known of the study stays, searches know the new vectors."""
    one, later, other = (tmp_path / name for name in ("one", "later", "other"))
    for folder in (one, later, other):
        folder.mkdir()
    (one / "1.dcm").write_bytes(dicom(1, study="1.2.3", PatientBirthDate="19500101", StudyDate="20200101"))
    (one / "1.txt").write_text("FINDINGS: Small effusion.")
    (other / "9.dcm").write_bytes(dicom(9, study="1.2.9"))
    import_files(library, checkpoint, one, sandbox, sender="ROOM")
    import_files(library, checkpoint, other, sandbox)
    (study_id,) = library.owned(sender="ROOM")
    before, vector = library.get(study_id), library.vectors([study_id], "image")[study_id]
    (found,) = library.search(vector, mode="image", k=1)
    assert found.study_id == study_id
    (later / "2.dcm").write_bytes(dicom(2, study="1.2.3"))
    result = import_files(library, checkpoint, later, sandbox)
    assert (result.added, result.refused) == (1, ())
    record = library.get(study_id)
    assert (len(library), len(record.radiographs)) == (2, 2)
    assert (record.report, record.age, record.birth_key) == (before.report, before.age, before.birth_key)
    assert library.owned(sender="ROOM") == (study_id,)
    assert record.radiographs[0].png == before.radiographs[0].png
    new = library.vectors([study_id], "image")[study_id]
    assert not np.allclose(new, vector)
    (found,) = library.search(new, mode="image", k=1)
    assert (found.study_id, round(found.score, 4)) == (study_id, 1.0)
    assert library.verify() == ()
    again = import_files(library, checkpoint, later, sandbox)
    assert (again.added, again.present) == (0, 1)
    (one / "3.dcm").write_bytes(dicom(3, study="1.2.3"))  # among films that are there
    assert import_files(library, checkpoint, one, sandbox).added == 1
    assert len(library.get(study_id).radiographs) == 3
    (later / "4.dcm").write_bytes(dicom(4, study="1.2.3", PatientBirthDate="19990101"))
    stranger = import_files(library, checkpoint, later, sandbox)
    assert (stranger.added, codes(stranger)) == (0, {"4.dcm": "uid_conflict"})


def test_reports_without_a_film_or_beside_several_are_refused(
    library: Library, checkpoint: Checkpoint, sandbox: Sandbox, put  # type: ignore[no-untyped-def]
) -> None:  # fmt: skip
    put("a.png", picture(1))
    put("a.jpg", picture(2, "JPEG"))
    put("a.txt", "FINDINGS: Clear.")
    put("b.txt", "FINDINGS: Clear.")
    put("c.png", picture(3))
    put("c.txt", "FINDINGS: Clear.")
    put("c.md", "FINDINGS: Clear too.")
    root = put("DICOMDIR", b"an index of the disc")
    result = import_files(library, checkpoint, root, sandbox)
    assert result.added == 3
    assert sorted(codes(result).values()) == ["bad_request", "bad_request", "unsupported_format"]


def test_archives_are_walked_and_a_damaged_one_is_refused_whole(
    library: Library, checkpoint: Checkpoint, sandbox: Sandbox, tmp_path: Path
) -> None:
    root = tmp_path / "disc"
    root.mkdir()
    with zipfile.ZipFile(root / "films.zip", "w") as archive:
        archive.writestr("DICOM/IM0001", dicom(1))
        archive.writestr("DICOM/IM0001.txt", "FINDINGS: Clear.")
        archive.writestr("DICOMDIR", b"index")
        archive.writestr("nested.zip", b"PK\x03\x04")
    (tmp_path / "film.png").write_bytes(picture(2))
    with tarfile.open(root / "more.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / "film.png", "a/film.png")
    with zipfile.ZipFile(root / "bad.zip", "w") as archive:
        archive.writestr("good.png", picture(3))
        archive.writestr("../evil.png", picture(4))
    result = import_files(library, checkpoint, root, sandbox)
    assert (result.added, result.images) == (2, 2)
    assert codes(result) == {"films.zip/nested.zip": "unsupported_format", "bad.zip": "archive_unsafe_path"}
    assert sorted(bool(library.get(each).report) for each in library.ids()) == [False, True]


def test_films_with_text_burned_in_are_refused_when_asked(
    library: Library, checkpoint: Checkpoint, sandbox: Sandbox, put  # type: ignore[no-untyped-def]
) -> None:  # fmt: skip
    put("plain.dcm", dicom(1))
    root = put("burned.dcm", dicom(2, BurnedInAnnotation="YES"))
    strict = import_files(library, checkpoint, root, sandbox, burned_in="refuse")
    assert (strict.added, codes(strict)) == (1, {"burned.dcm": "burned_in_annotation"})
    assert import_files(library, checkpoint, root, sandbox).added == 1


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="needs tesseract-ocr")
def test_text_in_pictures_is_covered_when_asked(
    library: Library, checkpoint: Checkpoint, sandbox: Sandbox, tmp_path: Path
) -> None:
    drawing = Image.new("L", (500, 600), 90)
    ImageDraw.Draw(drawing).text((20, 16), "DOE JANE 0815", fill=250, font=ImageFont.load_default(22))
    drawing.save(tmp_path / "film.png")
    assert import_files(library, checkpoint, tmp_path, sandbox, burned_in="cover").added == 1
    (film,) = library.get(library.ids()[0]).radiographs
    assert find_text(film.preview()) == ()
    assert film.preview().max() < 200
    with pytest.raises(InputError, match="keep, refuse, cover"):
        import_files(library, checkpoint, tmp_path, sandbox, burned_in="other")  # type: ignore[arg-type]


def test_three_hundred_bad_files_hide_none_of_twenty_good_ones(
    library: Library, checkpoint: Checkpoint, sandbox: Sandbox, tmp_path: Path
) -> None:
    root = own_folder(tmp_path / "own")
    odd = os.fsdecode(b"caf\xe9.dcm")  # no UTF-8
    (root / odd).write_bytes(b"not a film")
    result = import_files(library, checkpoint, root, sandbox)
    assert (result.added, result.present, len(result.refused)) == (20, 0, 301)
    assert odd in codes(result)
    assert set(codes(result)) == {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} - {
        str(path.relative_to(root)) for path in root.glob("patient*/**/*") if path.is_file()
    }
    kept = library.refusals()
    assert len(kept) == 301
    assert all(each.source.startswith("file-") for each in kept)


def test_a_library_among_the_films_is_no_file_of_theirs(
    library: Library, checkpoint: Checkpoint, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "film.dcm").write_bytes(dicom(1))
    result = import_files(library, checkpoint, tmp_path, sandbox)
    assert (result.added, result.refused) == (1, ())
    assert import_openi(library, checkpoint, tmp_path, sandbox).refused[0].path == Path("film.dcm")


def test_a_file_of_before_is_known_by_its_content(
    library: Library, checkpoint: Checkpoint, sandbox: Sandbox, put  # type: ignore[no-untyped-def]
) -> None:  # fmt: skip
    """A library that holds a film under its file's name, as earlier versions stored it."""
    from lingula.ingest.batches import encoded
    from lingula.reading.study_reader import read_study

    root = put("old.png", picture(5))
    study = read_study([root / "old.png"], sandbox=sandbox, study_id="old")
    library.add_many(list(encoded(checkpoint, [study])))
    result = import_files(library, checkpoint, root, sandbox)
    assert (result.added, result.present) == (0, 1)
    assert library.ids() == ("old",)


def test_a_missing_folder_is_refused(library: Library, checkpoint: Checkpoint, sandbox: Sandbox) -> None:
    with pytest.raises(InputError, match="There is no"):
        import_files(library, checkpoint, Path("/nowhere/at/all"), sandbox)
