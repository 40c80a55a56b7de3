"""Importing a collection of reports and films in which much is none."""

from __future__ import annotations

from pathlib import Path

from lingula.ingest.openi import import_openi
from lingula.library import Library
from lingula.model.checkpoint import Checkpoint
from lingula.reading.sandbox import Sandbox
from own_films import dicom, own_folder, picture


def report(number: int, *image_ids: str) -> bytes:
    images = "".join(f'<parentImage id="{image_id}"/>' for image_id in image_ids)
    return f"""<eCitation><uId id="CXR{number}"/>
        <AbstractText Label="FINDINGS">Clear lungs, number {number}.</AbstractText>
        <MeSH><major>normal</major></MeSH>{images}</eCitation>""".encode()


def collection(root: Path) -> set[str]:
    """Twenty studies; 270 files of a folder that no report names, and 15 reports and 15 named films that are damaged.
    The paths of all that must be refused, as seen from the folder."""
    own_folder(root, good=0, bad=270)
    bad = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    for number in range(9001, 9021):
        image_ids = [f"CXR{number}_IM-{number}-1001"]
        kind, film = (".dcm", dicom(number)) if number % 2 else (".png", picture(number))
        (root / f"{number}_IM-{number}-1001{kind}").write_bytes(film)
        if number <= 9015:
            image_ids.append(f"CXR{number}_IM-{number}-2001")
            (root / f"{number}_IM-{number}-2001{kind}").write_bytes(film[: 1000 + number % 100])
            (root / f"{number}-cut.xml").write_bytes(report(number + 100)[: -number // 100])
            bad |= {f"{number}_IM-{number}-2001{kind}", f"{number}-cut.xml"}
        (root / f"{number}.xml").write_bytes(report(number, *image_ids))
    return bad


def test_three_hundred_bad_files_hide_none_of_twenty_studies(
    library: Library, checkpoint: Checkpoint, sandbox: Sandbox, tmp_path: Path
) -> None:
    bad = collection(tmp_path / "own")
    result = import_openi(library, checkpoint, tmp_path / "own", sandbox)
    assert (result.added, result.images, len(bad)) == (20, 20, 300)
    assert {str(refused.path) for refused in result.refused} == bad
    assert all(refused.code and refused.message for refused in result.refused)
    again = import_openi(library, checkpoint, tmp_path / "own", sandbox)
    assert (again.added, again.present) == (0, 20)
