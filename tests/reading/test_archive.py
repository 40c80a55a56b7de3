"""Archives: only regular files under plain names come out, within limits, and damage is always noticed."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from lingula.errors import InputError
from lingula.reading.archive import members
from lingula.reading.limits import Limits


def tar_bytes(*files: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def refusal(path: Path, data: bytes, **limits: int) -> str:
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        list(members(path, limits=replace(Limits(), **limits)))
    return caught.value.code


@pytest.mark.parametrize("pack", ["tar", "tgz", "zip"])
def test_members_come_in_order(tmp_path: Path, pack: str) -> None:
    files = (("b/2.xml", b"two" * 700_000), ("a/1.xml", b""), ("3", b"three"))
    path = tmp_path / "archive"
    if pack == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files:
                archive.writestr(name, content)
    else:
        data = tar_bytes(*files)
        path.write_bytes(gzip.compress(data) if pack == "tgz" else data)
    assert tuple((member.name, member.content) for member in members(path)) == files


def test_limits(tmp_path: Path) -> None:
    data = gzip.compress(tar_bytes(("1", bytes(3 << 20)), ("2", bytes(3 << 20))))
    assert len(data) < 20_000
    path = tmp_path / "archive"
    assert refusal(path, data, file_bytes=2 << 20) == "archive_bomb"
    assert refusal(path, data, archive_bytes=4 << 20) == "archive_bomb"
    assert refusal(path, data, archive_members=1) == "archive_too_many"


def test_bytes_after_the_end_count(tmp_path: Path) -> None:
    data = tar_bytes(("1", b"x"))
    assert refusal(tmp_path / "a", gzip.compress(data + bytes(9 << 20)), archive_bytes=4 << 20) == "archive_bomb"


def test_a_huge_header_is_not_read(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 5 << 20  # a name of 5 MB, which tarfile would read at once
    data = gzip.compress(header.tobuf() + bytes(5 << 20) + tar_bytes(("1", b"x")), 1)
    assert refusal(tmp_path / "a", data) == "archive_bad"


def test_a_damaged_header_does_not_end_the_archive(tmp_path: Path) -> None:
    data = bytearray(tar_bytes(("1", b"x"), ("2", b"y"), ("3", b"z")))
    data[1024] ^= 0xFF  # name of the second member: its header checksum fails, and tarfile would stop in silence
    assert refusal(tmp_path / "a", bytes(data)) == "archive_bad"


@pytest.mark.parametrize("cut", [0.3, 0.9, 0.999])
def test_a_cut_archive_is_refused(tmp_path: Path, cut: float) -> None:
    data = gzip.compress(tar_bytes(*((f"{n}.xml", bytes(range(256)) * n) for n in range(9))))
    assert refusal(tmp_path / "a", data[: int(len(data) * cut)]) == "archive_bad"


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "a\\x", "C:x"])
def test_unsafe_names(tmp_path: Path, name: str) -> None:
    assert refusal(tmp_path / "a", tar_bytes((name, b"x"))) == "archive_unsafe_path"


def test_a_name_may_not_occur_twice(tmp_path: Path) -> None:
    assert refusal(tmp_path / "a", tar_bytes(("1.xml", b"one"), ("1.xml", b"two"))) == "archive_bad"


def test_every_bad_archive_is_judged_as_listed(shared_data: Path) -> None:
    folder = shared_data / "badinput"
    with (folder / "manifest.tsv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["kind"] == "archive"]
    assert len(rows) == 10
    for row in rows:
        try:
            list(members(folder / row["path"]))
            outcome = ("accept", "")
        except InputError as error:
            outcome = ("reject", error.code)
        assert outcome == (row["expect"], row["code"]), row["path"]
