"""Downloading from a local server that cuts connections, and unpacking under our own names."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from lingula.errors import FetchError, InputError
from lingula.openi import fetch as fetching
from lingula.openi.fetch import unpack

CONTENT = bytes(range(256)) * 12_000  # 3 MB
fetch = partial(fetching.fetch, pause=0)


class Server:
    """Serves CONTENT with ranges; gives at most ``burst`` bytes a connection while ``cuts`` last."""

    def __init__(self) -> None:
        self.content, self.etag, self.cuts, self.burst = CONTENT, '"one"', 0, 1_000_000
        self.requests: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range", "")
        self.requests.append(asked)
        if not handler.path.startswith("/NLMCXR_"):
            handler.send_error(404)
            return
        same = handler.headers.get("If-Range", self.etag) == self.etag
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and same else 0
        if start >= len(self.content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(self.content)}")
            handler.end_headers()
            return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("ETag", self.etag)
        handler.send_header("Content-Length", str(len(body)))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        handler.end_headers()
        if self.cuts:
            self.cuts -= 1
            body = body[: self.burst]
        with suppress(ConnectionError):  # the client may have refused
            handler.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=partial(server.http.serve_forever, poll_interval=0.01))
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


def failure(server: Server, out: Path, what: fetching.What = "png") -> FetchError:
    with pytest.raises(FetchError) as caught:
        fetch(what, out, base_url=server.url)
    return caught.value


def test_a_lost_connection_is_taken_up(server: Server, tmp_path: Path) -> None:
    server.cuts = 2
    seen: list[tuple[int, int]] = []
    path = fetch("png", tmp_path, base_url=server.url, progress=lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "NLMCXR_png.tgz"
    assert path.read_bytes() == CONTENT
    assert server.requests == ["", "bytes=1000000-", "bytes=2000000-"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert (tmp_path / "NLMCXR_png.tgz.sha256").read_text() == f"{digest}  NLMCXR_png.tgz\n"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["NLMCXR_png.tgz", "NLMCXR_png.tgz.sha256"]
    assert fetch("png", tmp_path, base_url="http://127.0.0.1:1/") == path  # there already: nothing is asked


def test_a_later_call_goes_on(server: Server, tmp_path: Path) -> None:
    server.cuts, server.burst = 6, 0
    (tmp_path / "NLMCXR_png.tgz.part").write_bytes(CONTENT[:1234])
    assert "1234 bytes are kept" in failure(server, tmp_path).hint
    server.cuts = 0
    assert fetch("png", tmp_path, base_url=server.url).read_bytes() == CONTENT
    assert server.requests[-1] == "bytes=1234-"


def test_a_changed_file_is_fetched_whole(server: Server, tmp_path: Path) -> None:
    server.cuts, server.burst = 6, 0
    (tmp_path / "NLMCXR_png.tgz.part").write_bytes(CONTENT[:1234])
    failure(server, tmp_path)
    server.cuts, server.etag, server.content = 0, '"two"', b"now shorter"
    assert fetch("png", tmp_path, base_url=server.url).read_bytes() == b"now shorter"


@pytest.mark.parametrize("extra", [b"", b"too long"])
def test_a_whole_or_overlong_part(server: Server, tmp_path: Path, extra: bytes) -> None:
    (tmp_path / "NLMCXR_png.tgz.part").write_bytes(CONTENT + extra)
    assert fetch("png", tmp_path, base_url=server.url).read_bytes() == CONTENT


def test_checksum(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failure(server, tmp_path, "reports").code == "fetch_checksum"
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(fetching.SHA256, "NLMCXR_reports.tgz", hashlib.sha256(CONTENT).hexdigest())
    assert fetch("reports", tmp_path, base_url=server.url).read_bytes() == CONTENT


def test_disk_full_is_noticed_before_writing(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=len(CONTENT)))
    assert failure(server, tmp_path).code == "disk_full"
    assert not list(tmp_path.iterdir())


def test_failures_are_named(server: Server, tmp_path: Path) -> None:
    for base_url in (server.url + "nowhere/", "http://127.0.0.1:1/", "file:///etc/"):
        with pytest.raises(FetchError, match=re.escape(base_url)) as caught:
            fetch("png", tmp_path, base_url=base_url)
        assert caught.value.code == "fetch_failed"


def archive(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = len(name)
            packed.addfile(entry, io.BytesIO(name.encode()))
    return path


def test_unpack_gives_our_own_names(tmp_path: Path) -> None:
    source = archive(
        tmp_path / "NLMCXR_mixed.tgz",
        "x/9/CXR1_1_IM-0001-3001.DCM",
        "p/CXR2_IM-0652-1001.png",
        "3.xml",
        "._3.xml",
        "a.sh",
    )
    unpacked = unpack(source, tmp_path / "out")
    assert unpacked.folder == tmp_path / "out/NLMCXR_mixed"
    assert (unpacked.files, unpacked.skipped) == (3, ("._3.xml", "a.sh"))
    made = sorted(str(path.relative_to(unpacked.folder)) for path in unpacked.folder.rglob("*") if path.is_file())
    assert made == ["1/1_IM-0001-3001.dcm", "2_IM-0652-1001.png", "ecgen-radiology/3.xml"]
    assert (unpacked.folder / "ecgen-radiology/3.xml").read_bytes() == b"3.xml"
    with pytest.raises(InputError, match="bad_request"):
        unpack(source, tmp_path / "out")


@pytest.mark.parametrize("names", [("1.xml", "x/1.xml"), ("1.xml", "../2.xml")])
def test_unpack_leaves_nothing_of_a_bad_archive(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(InputError):
        unpack(archive(tmp_path / "bad.tgz", *names), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.tgz", "out"]
