"""Download the collection from the National Library of Medicine, resuming where it stopped, and unpack it safely.

A download grows in ``NAME.part`` and gets its name only when it is complete and its SHA-256 is checked, or recorded in
``NAME.sha256`` where no digest is published. The collection is licensed CC BY-NC-ND 4.0.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from ssl import SSLError
from typing import Literal

from lingula.errors import FetchError, InputError
from lingula.openi.tables import image_key
from lingula.reading.archive import members
from lingula.reading.limits import Limits

What = Literal["reports", "png", "dicom"]
Progress = Callable[[int, int], None]
"""Called with the bytes there are and the bytes there will be."""

NLM_URL = "https://openi.nlm.nih.gov/imgs/collections/"
FILES: dict[What, str] = {
    "reports": "NLMCXR_reports.tgz",  # 1.1 MB
    "png": "NLMCXR_png.tgz",  # 14 GB
    "dicom": "NLMCXR_dcm.tgz",  # 80 GB
}
SHA256 = {"NLMCXR_reports.tgz": "8fb6de7eec73d8c3665067ad4bb003ccd57f971ae316d2642e1627ac7268667a"}
UNPACKING = Limits(archive_bytes=400 << 30)
"""For ``unpack``: an archive as large as NLM's; a single file is bounded as ever."""

_CHUNK = 1 << 20
_TIMEOUT = 30.0  # seconds without a byte
_ATTEMPTS = 5  # in a row without a byte gained
_SPARE = 64 << 20  # bytes left free on the disk


def fetch(
    what: What, out: Path, *, base_url: str = NLM_URL, progress: Progress | None = None, pause: float = 2.0
) -> Path:
    """Download one archive of the collection into a folder and return its path.

    A lost connection is taken up again, ``pause`` seconds later, until five attempts in a row gain nothing; a later
    call goes on from what is there. A finished download is returned as it is.

    Raises:
        FetchError: fetch_failed, fetch_checksum (the download is removed), disk_full (before writing, or while).
    """
    out.mkdir(parents=True, exist_ok=True)
    name = FILES[what]
    target, part = out / name, out / f"{name}.part"
    if target.is_file():
        return target
    with _disk_full_named(out):
        _download(base_url.rstrip("/") + "/" + name, part, progress, pause)
        digest = _sha256(part)
        _tag(part).unlink(missing_ok=True)
        if name in SHA256 and digest != SHA256[name]:
            part.unlink()
            raise FetchError("fetch_checksum", f"{name} has SHA-256 {digest}, not {SHA256[name]}.", "Fetch it again.")
        (out / f"{name}.sha256").write_text(f"{digest}  {name}\n")
        part.replace(target)
    return target


def _download(url: str, part: Path, progress: Progress | None, pause: float) -> None:
    if not url.startswith(("https://", "http://")):
        raise FetchError("fetch_failed", f"{url} is not an http address.")
    attempts = 0
    while True:
        before = _size(part)
        try:
            if _download_once(url, part, progress):
                return
            reason = "the connection was cut"
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:  # nothing after the part: it is whole, or not of this file
                if error.headers.get("Content-Range") == f"bytes */{before}":
                    return
                part.unlink()
            elif error.code < 500:
                raise FetchError("fetch_failed", f"{url}: {error.code} {error.reason}.") from error
            reason = f"{error.code} {error.reason}"
        except (urllib.error.URLError, HTTPException, ConnectionError, TimeoutError, SSLError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        attempts = 0 if _size(part) > before else attempts + 1
        if attempts >= _ATTEMPTS:
            kept = f"{_size(part)} bytes are kept; call again to go on."
            raise FetchError("fetch_failed", f"{url}: {reason}.", kept)
        time.sleep(pause)


def _download_once(url: str, part: Path, progress: Progress | None) -> bool:
    """Append what one connection gives; True when the file is whole."""
    have, tag = _size(part), _tag(part)
    request = urllib.request.Request(url, headers={"User-Agent": "lingula", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if tag.is_file():
            request.add_header("If-Range", tag.read_text())  # a changed file is sent whole again
    response: HTTPResponse
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        start = _start(response, have)
        length = response.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise FetchError("fetch_failed", f"{url}: the server does not tell the size of the file.")
        total = start + int(length)
        _need(part.parent, total - start)
        if version := _version(response):
            tag.write_text(version)
        else:
            tag.unlink(missing_ok=True)
        with part.open("r+b" if part.exists() else "wb") as file:
            file.truncate(start)
            file.seek(start)
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                if progress:
                    progress(file.tell(), total)
            file.flush()
            os.fsync(file.fileno())
            return file.tell() == total


def _start(response: HTTPResponse, have: int) -> int:
    """Where the answer begins in the file: at what was asked for, or at 0 when the server sends the whole file."""
    if response.status != 206:
        return 0
    sent = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if not sent or int(sent[1]) != have:
        raise FetchError("fetch_failed", f"The server answered another range than the one from byte {have}.")
    return have


def _version(response: HTTPResponse) -> str:
    """A strong ETag or the date, for If-Range (RFC 9110, 13.1.5)."""
    etag: str = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")


def _tag(part: Path) -> Path:
    """Where it is kept which version of the file the part belongs to."""
    return part.with_suffix(".tag")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _need(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size + _SPARE:
        raise FetchError("disk_full", f"{size >> 20} MB are needed in {folder}, {free >> 20} MB are free.")


@contextmanager
def _disk_full_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise FetchError("disk_full", f"No space left in {folder}.") from error


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The folder made, how many files it has, and the members that are no part of the collection and were left out."""

    folder: Path
    files: int
    skipped: tuple[str, ...]


def unpack(archive: Path, out: Path, *, limits: Limits = UNPACKING) -> Unpacked:
    """Unpack a download to ``OUT/<name of the archive>``, all or nothing, under names of our own making.

    Names come from the identifiers in the members' names: ``<n>/<id>.dcm``, ``<id>.png`` and
    ``ecgen-radiology/<n>.xml``. What has no such identifier is skipped and listed.

    Raises:
        InputError: as ``lingula.reading.archive.members``; bad_request when the folder is there already.
        FetchError: disk_full.
    """
    folder = _folder_of(archive, out)
    if folder.exists():
        raise InputError("bad_request", f"{folder} is there already.", "Remove it to unpack again.")
    trial = out / f"{folder.name}.unpacking"
    shutil.rmtree(trial, ignore_errors=True)
    made: set[Path] = set()
    skipped: list[str] = []
    try:
        with _disk_full_named(out):
            trial.mkdir(parents=True)
            for member in members(archive, limits=limits):
                name = _own_name(member.name)
                if name is None:
                    skipped.append(member.name)
                    continue
                if name in made:
                    raise InputError("archive_bad", f"{archive.name} holds {name} twice.")
                made.add(name)
                (trial / name).parent.mkdir(parents=True, exist_ok=True)
                (trial / name).write_bytes(member.content)
            trial.rename(folder)
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    return Unpacked(folder, len(made), tuple(skipped))


def unpack_once(archive: Path, out: Path) -> Path:
    """As ``unpack``, but an archive that was unpacked there before is left as it is; the folder made.

    Raises:
        InputError, FetchError: as ``unpack``.
    """
    folder = _folder_of(archive, out)
    return folder if folder.exists() else unpack(archive, out).folder


def _folder_of(archive: Path, out: Path) -> Path:
    return out / re.sub(r"\.(tgz|tar|tar\.gz|zip)$", "", archive.name)


def _own_name(member: str) -> Path | None:
    name = PurePosixPath(member).name
    if report := re.fullmatch(r"(\d{1,18})\.xml", name):
        return Path("ecgen-radiology", f"{report[1]}.xml")
    key = image_key(name)
    image = re.fullmatch(r"(\d{1,18})_IM-[0-9-]{1,40}", key)
    if image and name.lower().endswith(".dcm"):
        return Path(image[1], f"{key}.dcm")
    if image and name.lower().endswith(".png"):
        return Path(f"{key}.png")
    return None
