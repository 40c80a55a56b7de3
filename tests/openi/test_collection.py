"""Scanning and loading: reports and images are paired, and every file is accounted for."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lingula.errors import InputError
from lingula.openi import Collection, Refused, load, load_many, scan
from lingula.openi.loading import unsquash
from lingula.openi.tables import image_key
from lingula.reading.view_classifier import ViewClassifier
from lingula.study import Radiograph


def report(number: int, *image_ids: str, text: str = "A quiet chest.") -> bytes:
    images = "".join(f'<parentImage id="{image_id}"/>' for image_id in image_ids)
    return f"""<eCitation><uId id="CXR{number}"/><AbstractText Label="FINDINGS">{text}</AbstractText>
        <MeSH><major>normal</major></MeSH>{images}</eCitation>""".encode()


def write(path: Path, content: bytes = b"?") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def reports_archive(path: Path, files: dict[str, bytes]) -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"ecgen-radiology/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return write(path, buffer.getvalue())


def names(paths: Iterable[Path]) -> list[str]:
    return [path.name for path in paths]


def count_files(collection: Collection) -> int:
    """Files of the buckets that hold whole files, reports apart."""
    parts = collection.images, collection.unreferenced, collection.duplicates, collection.tables, collection.others
    return sum(map(len, parts)) + len(collection.refused)


class FakeSandbox:
    """Gives squares of 0.5, refuses names with 'bad', and answers in reverse order."""

    def read_many(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Radiograph | InputError]]:
        for path in reversed(list(paths)):
            refused = InputError("decode_failed", "It does not decode.")
            square = Radiograph(path.name, np.full((8, 8), 0.5, np.float32), view="frontal", birth_date="19400101")
            yield path, refused if "2001" in path.name else square


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("CXR1000_IM-0003-1001", "1000_IM-0003-1001"),
        ("1000_IM-0003-1001.dcm.png", "1000_IM-0003-1001"),
        ("CXR1000_IM-0003-1001.PNG", "1000_IM-0003-1001"),
        ("CXR1_1_IM-0001-3001", "1_IM-0001-3001"),
        ("1_IM-0001-3001.dcm", "1_IM-0001-3001"),
        ("CXR11_IM-0067-1001", "11_IM-0067-1001"),
        ("1021_IM-0017-1001-0001.jpeg", "1021_IM-0017-1001-0001"),
    ],
)
def test_image_key(name: str, key: str) -> None:
    assert image_key(name) == key


def test_a_dicom_tree(tmp_path: Path) -> None:
    write(tmp_path / "ecgen-radiology/10.xml", report(10, "CXR10_IM-0002-1001", "CXR10_IM-0002-2001"))
    write(tmp_path / "ecgen-radiology/2.xml", report(2, "CXR2_IM-0652-1001"))
    write(tmp_path / "NLMCXR_dcm/10/10_IM-0002-1001.dcm")
    write(tmp_path / "NLMCXR_dcm/2/2_IM-0652-1001.dcm")
    write(tmp_path / "NLMCXR_dcm/2/2_IM-0652-9001.dcm")
    collection = scan(tmp_path)
    assert [study.study_id for study in collection] == ["CXR2", "CXR10"]
    assert [image.image_id for image in collection.images] == ["CXR2_IM-0652-1001", "CXR10_IM-0002-1001"]
    assert collection.missing == ("CXR10_IM-0002-2001",)
    assert names(collection.unreferenced) == ["2_IM-0652-9001.dcm"]
    assert not collection.refused + collection.duplicates + collection.others


def test_every_file_lands_in_one_bucket(tmp_path: Path) -> None:
    good = report(1, "CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001")
    write(tmp_path / "xml/1.xml", good)
    reports_archive(
        tmp_path / "NLMCXR_reports.tgz",
        {
            "1.xml": good,  # the same again: duplicate
            "2.xml": report(2, "CXR1_1_IM-0001-3001", "CXR2_IM-0652-1001"),  # first image belongs to study 1
            "3.xml": b"<eCitation",  # refused
            "4.xml": report(1, text="Another text."),  # refused: study 1 with another content
            "README": b"hello",  # other
        },
    )
    cut = reports_archive(tmp_path / "more_reports.tgz", {"5.xml": report(5)})
    cut.write_bytes(cut.read_bytes()[:-1])  # the report is whole, the archive is not: none of it is taken
    write(tmp_path / "NLMCXR_png.tgz")
    write(tmp_path / "png/1_IM-0001-3001.dcm.png")
    write(tmp_path / "small/1_IM-0001-3001.jpg")
    write(tmp_path / "png/2_IM-0652-1001.png")
    write(tmp_path / "png/7_IM-0652-1001.png")
    write(tmp_path / "notes.txt")
    write(tmp_path / "images.csv", b"a,b\n1,2\n")
    write(tmp_path / "indiana_projections.csv", b"uid,filename,projection\n1,1_IM-0001-3001.dcm.png,Lateral\n")
    os.symlink(tmp_path, tmp_path / "png/again")  # must not be walked for ever

    found = scan(tmp_path)
    assert [(study.study_id, len(study.images), study.missing) for study in found] == [
        ("CXR1", 1, ("CXR1_1_IM-0001-4001",)),
        ("CXR2", 1, ("CXR1_1_IM-0001-3001",)),
    ]
    assert found.studies[0].images[0].view == "lateral"
    assert found.studies[1].images[0].view == "unknown"
    assert sorted((entry.path.name, entry.code) for entry in found.refused) == [
        ("3.xml", "xml_malformed"),
        ("4.xml", "uid_conflict"),
        ("NLMCXR_png.tgz", "unsupported_format"),
        ("images.csv", "unsupported_format"),
        ("more_reports.tgz", "archive_bad"),
    ]
    assert sorted(names(found.duplicates)) == ["1.xml", "1_IM-0001-3001.jpg"]
    assert names(found.unreferenced) == ["7_IM-0652-1001.png"]
    assert sorted(names(found.others)) == ["README", "notes.txt"]
    assert names(found.tables) == ["indiana_projections.csv"]
    on_disk = sum(len(files) for _, _, files in os.walk(tmp_path))
    members = 5  # of the archive that could be read, which is no entry itself; of two reports taken neither is one
    assert count_files(found) == on_disk - 1 + members - 2


def test_tables_fill_in_what_files_lack(tmp_path: Path) -> None:
    write(tmp_path / "1.xml", report(1, "CXR1_1_IM-0001-3001"))
    write(tmp_path / "1_IM-0001-3001.jpg")
    write(tmp_path / "images.csv", b"\xef\xbb\xbfimage_id,rows,cols\nCXR1_1_IM-0001-3001,2828.0,2320.0\nCXR2_IM-1,,\n")
    dates = b"imageid,Patient's Birth Date,Study Date\nCXR1_IM-0001-3001,19550820,unknown\n"
    write(tmp_path / "nlmcxr_dicom_metadata.csv.gz", gzip.compress(dates))
    (image,) = scan(tmp_path).images
    assert (image.rows, image.columns, image.birth_date, image.study_date) == (2828, 2320, "19550820", "")


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not_found"):
        scan(tmp_path / "nowhere")


def test_loading_names_dates_and_unsquashes(tmp_path: Path) -> None:
    write(tmp_path / "1.xml", report(1, "CXR1_IM-1-1001", "CXR1_IM-1-2001", "CXR1_IM-1-3001", "CXR1_IM-1-4001"))
    write(tmp_path / "2.xml", report(2, text=""))
    for name in ("1_IM-1-1001", "1_IM-1-2001", "1_IM-1-3001"):
        write(tmp_path / f"{name}.jpg")
    write(tmp_path / "images.csv", b"image_id,rows,cols\nCXR1_IM-1-1001,400,100\n")
    write(tmp_path / "indiana_projections.csv", b"filename,projection\n1_IM-1-1001.dcm.png,Lateral\n")
    collection, refused = scan(tmp_path), list[Refused]()

    first, second = load_many(collection, FakeSandbox(), on_refused=refused.append)
    one, other = first.radiographs
    assert (one.image_id, one.view, one.pixels.shape, one.birth_date) == (
        "CXR1_IM-1-1001",
        "lateral",
        (8, 2),
        "19400101",
    )
    assert (other.image_id, other.pixels.shape) == ("CXR1_IM-1-3001", (8, 8))
    assert other.view == ViewClassifier.shipped().annotate(replace(other, view="unknown")).view  # never the header's
    assert [(entry.path.name, entry.code) for entry in refused] == [("1_IM-1-2001.jpg", "decode_failed")]
    assert [notice.code for notice in first.notices] == ["bad_image_ref", "bad_image_ref"]
    assert first.terms == ("normal",)
    assert second.report is None
    assert second.radiographs == ()
    assert load(collection.studies[0], FakeSandbox()).study_id == "CXR1"


def test_unsquash_restores_the_geometry() -> None:
    """A disc in a tall film, squashed to a square and back, is round again."""
    y, x = np.mgrid[:200, :100].astype(np.float32)
    film = ((y - 100) ** 2 + (x - 50) ** 2 < 30**2).astype(np.float32)
    squashed = np.asarray(Image.fromarray(film).resize((200, 200), Image.Resampling.BICUBIC), np.float32).clip(0, 1)
    restored = unsquash(squashed, 2000, 1000)
    assert restored.shape == film.shape
    assert np.abs(restored - film).mean() < 0.01
    assert restored.min() >= 0
    assert restored.max() <= 1
    assert unsquash(film, 100, 200) is film  # not square: nothing was squashed
