"""Members of a tar, gzipped tar or zip, read one by one as untrusted input. Nothing is ever extracted by its own name.

Only regular files are given out. Every byte that comes out of the decompressor counts against the limit, including what
is skipped, and no single read may ask for more than one chunk, so that neither a header nor a member can fill memory.
"""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from lingula.errors import InputError
from lingula.reading.limits import Limits

_LIMITS = Limits()
ARCHIVE_ENDINGS = (".zip", ".tar", ".tgz", ".gz")
_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file of an archive: its name, only to be looked at, and its bytes."""

    name: str
    content: bytes = field(repr=False)


def members(path: Path, *, limits: Limits = _LIMITS) -> Iterator[Member]:
    """The archive's regular files in their order; folders are passed over.

    A caller must hold back what it makes of them until the last one has come: a damaged archive may show it only at its
    very end (CRC).

    Raises:
        InputError: not_found, empty_file, archive_unsafe_path (absolute, with ``..`` or a backslash, or a link),
            archive_unsupported_member (device, pipe, sparse file, odd compression), archive_bomb (a member above
            ``limits.file_bytes`` or all above ``limits.archive_bytes``), archive_too_many, archive_bad (damaged,
            encrypted, no archive, or a name that occurs twice).
    """
    walk = _walker(path)
    seen: set[str] = set()
    try:
        for member in walk(path, limits):
            if member.name in seen:
                raise InputError("archive_bad", f"{path.name} holds {member.name!r} twice.")
            seen.add(member.name)
            yield member
    except (RuntimeError, NotImplementedError, *_BROKEN) as error:
        raise InputError("archive_bad", f"{path.name} is damaged: {error}.") from error


def is_archive(head: bytes, name: str) -> bool:
    """Whether a file is an archive: by its first 512 bytes, and by no other ending than an archive's.

    Office documents are zip files, and a radiograph that was packed by itself (``film.dcm.gz``) is not read.
    """
    ending = PurePosixPath(name).suffix.lower()
    is_zip, is_tar = head.startswith(b"PK"), head[257:262] == b"ustar"
    return ending in ("", *ARCHIVE_ENDINGS) and (is_zip or is_tar or head.startswith(_GZIP))


def _walker(path: Path) -> Callable[[Path, Limits], Iterator[Member]]:
    if not path.is_file():
        raise InputError("not_found", f"No file {path}.")
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise InputError("empty_file", f"{path.name} has no bytes.")
    if head.startswith(b"PK"):
        return _zip_members
    if head.startswith(_GZIP) or head[257:262] == b"ustar":
        return _tar_members
    raise InputError("archive_bad", f"{path.name} is neither tar, gzipped tar nor zip.")


def _tar_members(path: Path, limits: Limits) -> Iterator[Member]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        source = _Counted(gzip.GzipFile(fileobj=file) if packed else file, limits.archive_bytes)
        with tarfile.open(fileobj=source, mode="r:") as archive:
            for count, entry in enumerate(archive, 1):
                _check(entry.name, entry.size, count, limits)
                if entry.issym() or entry.islnk():
                    raise InputError("archive_unsafe_path", f"{entry.name!r} is a link.")
                if entry.isdir():
                    continue
                if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or entry.issparse():
                    raise InputError("archive_unsupported_member", f"{entry.name!r} is not a regular file.")
                content = archive.extractfile(entry)
                assert content is not None  # regular files have content
                yield Member(entry.name, _drain(content, entry.size))
        while rest := source.read(_CHUNK):  # to the end, where gzip keeps its CRC
            if any(rest):  # tarfile takes a damaged header for the end
                raise tarfile.ReadError("members after the end")


def _zip_members(path: Path, limits: Limits) -> Iterator[Member]:
    total = 0
    with zipfile.ZipFile(path) as archive:
        for count, entry in enumerate(archive.infolist(), 1):
            _check(entry.filename, entry.file_size, count, limits)
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise InputError("archive_unsafe_path", f"{entry.filename!r} is a link.")
            if entry.is_dir():
                continue
            if entry.flag_bits & 1:
                raise InputError("archive_bad", f"{entry.filename!r} is encrypted.")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise InputError("archive_unsupported_member", f"{entry.filename!r} is compressed in an odd way.")
            total += entry.file_size  # zipfile gives out no more than the declared size
            if total > limits.archive_bytes:
                raise InputError("archive_bomb", f"The archive unpacks to more than {limits.archive_bytes} bytes.")
            with archive.open(entry) as content:
                yield Member(entry.filename, _drain(content, entry.file_size))


def _check(name: str, size: int, count: int, limits: Limits) -> None:
    if count > limits.archive_members:
        raise InputError("archive_too_many", f"The archive has more than {limits.archive_members} members.")
    if "\\" in name or name[1:2] == ":" or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise InputError("archive_unsafe_path", f"{name!r} leads out of the archive.")
    if size > limits.file_bytes:
        raise InputError("archive_bomb", f"{name!r} has {size} bytes, at most {limits.file_bytes} are read.")


def _drain(content: IO[bytes], size: int) -> bytes:
    parts, left = [], size
    while left and (part := content.read(min(left, _CHUNK))):
        parts.append(part)
        left -= len(part)
    if left:
        raise EOFError("a member ends early")
    return b"".join(parts)


class _Counted(io.RawIOBase):
    """The reader tarfile asks for: passes reads on, refuses to go beyond ``limit`` or to read a huge header."""

    def __init__(self, source: IO[bytes] | gzip.GzipFile, limit: int) -> None:
        self._source, self._limit = source, limit

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= 2 * _CHUNK:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self._refuse_beyond(self._source.tell() + size)
        return self._source.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._refuse_beyond(offset)
        return self._source.seek(offset, whence)

    def tell(self) -> int:
        return self._source.tell()

    def seekable(self) -> bool:
        return True

    def _refuse_beyond(self, position: int) -> None:
        if position > self._limit + 2 * _CHUNK:
            raise InputError("archive_bomb", f"The archive unpacks to more than {self._limit} bytes.")
