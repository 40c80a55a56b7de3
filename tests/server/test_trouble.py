"""What is sent half, slowly or oddly, and what the server does when its disk, library or children fail."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import logging
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from tests import made_up
from tests.server.conftest import Server, Stock, running

from lingula.cli.serve import _listen
from lingula.errors import LibraryError, LingulaError, storage_error
from lingula.library import Library
from lingula.reading.sandbox import Sandbox
from lingula.server import Settings
from lingula.server.log import note, write_log
from lingula.server.redaction import redacted, without_paths
from lingula.server.spool import PREFIX, SpoolFolder, sweep
from own_films import dicom

STUDY = "CXR9001"
ODD = ("a\0b", "\0", "\x1b[2J", "\u202eeffusion", "\ufffe", "a" * 1500)


@pytest.fixture
def own(stock: Stock, tmp_path: Path) -> Iterator[Server]:
    """A server with a library of its own that a test may harm."""
    file = tmp_path / "own.sqlite"
    stock.library.backup(file)
    with Library.open(file) as library:
        settings = Settings(header_seconds=1.0, idle_seconds=1.0)
        with running(stock.checkpoint, library, stock.collection, settings) as server:
            yield server


def _film(collection: Path) -> bytes:
    return next(iter(sorted((collection / "NLMCXR_dcm").rglob("*.dcm")))).read_bytes()


@pytest.mark.parametrize("text", ODD)
def test_odd_text_in_a_question(served: Server, text: str) -> None:
    page = served.ask("GET", f"/search?present=effusion&word={quote(text)}", Accept="text/html")
    assert page.status == 200
    assert b"damaged" not in page.body
    for body in (
        {"text": f"effusion {text}"},
        {"words": [text, "effusion"]},
        {"present": [{"finding": "effusion"}], "words": [text]},
    ):
        answer = served.post("/api/search", body)
        assert answer.status == 200, answer.json
    for path in (f"/api/studies/{quote(text)}", f"/api/cases/{quote(text)}"):
        assert served.ask("GET", path).status in (404, 422)
    assert served.bring(text=f"FINDINGS: effusion {text}").status in (201, 422)
    assert served.ask("GET", "/api/health").status == 200


def test_half_a_character_in_a_body(served: Server) -> None:
    for body in ('{"words": ["\\ud800"]}', '{"like": "\\ud800"}', '{"text": "effusion \\udfff"}'):
        for path in ("/api/search", "/api/understand"):
            answer = served.ask("POST", path, body.encode(), Content_Type="application/json")
            assert answer.status in (200, 404, 422), (path, body, answer.body)


def test_paths_stay_here() -> None:
    for text in (
        "/srv/jane/x.sqlite is damaged: no.",
        "cannot open '/a/b c/d'",
        r"C:\Users\Jane\x",
        r"\\host\share\x",
    ):
        told = without_paths(text)
        assert not any(word in told for word in ("srv", "jane", "Jane", "/a/b", "host")), told
    assert without_paths("/srv/Jane Doe/lib.sqlite is damaged.", ["/srv/Jane Doe/lib.sqlite"]) == "… is damaged."
    for text in ("and/or", "text/html", "http://127.0.0.1:8321/api/cases", "30 films/s", "</p>"):
        assert without_paths(text) == text
    error = redacted(LibraryError("index_corrupt", "/srv/x/y is damaged.", "See /var/log/x."))
    assert (error.message, error.hint) == ("… is damaged.", "See …")


def test_a_library_that_is_gone_or_damaged(own: Server, tmp_path: Path) -> None:
    assert own.ask("GET", "/api/health").json["status"] == "ready"
    file = Path(own.library.place)
    aside = file.rename(tmp_path / "aside")
    health = own.ask("GET", "/api/health")
    assert (health.status, [each["code"] for each in health.json["reasons"]]) == (503, ["library_missing"])
    answer = own.post("/api/search", {"like": STUDY})
    assert answer.json["code"] == "library_missing"
    assert not file.exists()
    for said in (health.body, answer.body):
        assert str(tmp_path).encode() not in said
    aside.rename(file)
    assert own.ask("GET", "/api/health").status == 200
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(file.read_bytes())
    for page in range(len(content) // 8192, len(content) // 4096):
        content[page * 4096 : page * 4096 + 2048] = bytes(2048)
    with file.open("r+b") as handle:
        handle.write(content)
    health = own.ask("GET", "/api/health")
    assert (health.status, health.json["reasons"][0]["code"]) == (503, "index_corrupt")
    assert str(tmp_path).encode() not in health.body


def test_a_temporary_folder_that_is_missing_or_full(
    own: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = _film(own.collection)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    large = bytes(3 << 20)  # more than is held in memory while a request is read
    for files in ([("a", film)], [("a", large)]):
        answer = own.bring(*files)
        assert (answer.status, answer.json["code"]) == (503, "storage_unavailable")
        assert str(tmp_path).encode() not in answer.body
    health = own.ask("GET", "/api/health")
    assert (health.status, [each["code"] for each in health.json["reasons"]]) == (503, ["storage_unavailable"])
    monkeypatch.undo()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "no room", "/secret/place")

    monkeypatch.setattr(Path, "write_bytes", full)
    answer = own.bring(("a", film))
    assert (answer.status, answer.json["code"]) == (507, "disk_full")
    monkeypatch.undo()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 30, 1 << 30, 0))  # type: ignore[attr-defined]
    health = own.ask("GET", "/api/health")
    assert [each["code"] for each in health.json["reasons"]] == ["disk_full"]
    monkeypatch.undo()
    assert own.bring(("a", film)).status == 201
    assert own.ask("GET", "/api/health").status == 200


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENOENT])
def test_codes_of_the_system(number: int) -> None:
    error = storage_error(OSError(number, "no /secret/place", "/secret/place"), "it cannot be kept")
    assert error.code == ("disk_full" if number in (errno.ENOSPC, errno.EDQUOT) else "storage_unavailable")
    assert "secret" not in str(error)


def test_who_asks_the_model_waits_for_no_database(own: Server) -> None:
    """Another program holds the library's write lock, an import waits for it: a study is answered all the same."""
    film = _film(own.collection)
    with closing(sqlite3.connect(own.library.place, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        edge = "edge"
        part = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'.encode()
        report = part + dicom(77) + f"\r\n--{edge}--\r\n".encode()
        job = own.ask("POST", "/api/imports", report, Content_Type=f"multipart/form-data; boundary={edge}").json[
            "job_id"
        ]
        time.sleep(3)  # until it has read and encoded the film
        assert own.ask("GET", f"/api/jobs/{job}").json["state"] == "running"
        began = time.monotonic()
        assert own.bring(text="FINDINGS: The heart is enlarged.").status == 201
        assert own.bring(("a", film)).status == 201
        assert time.monotonic() - began < 15
        assert own.ask("GET", f"/api/jobs/{job}").json["state"] == "running"
        other.execute("ROLLBACK")
    until = time.monotonic() + 60
    while (state := own.ask("GET", f"/api/jobs/{job}").json["state"]) == "running" and time.monotonic() < until:
        time.sleep(0.1)
    assert state == "done"


def _connected(address: str, sent: bytes) -> socket.socket:
    url = urlsplit(address)
    made = socket.create_connection((url.hostname, url.port), timeout=30)
    made.sendall(sent)
    return made


def _upload(address: str, length: int) -> bytes:
    host = urlsplit(address).netloc
    return (f"POST /api/cases HTTP/1.1\r\nHost: {host}\r\nX-Lingula: 1\r\nContent-Length: {length}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n").encode()  # fmt: skip


def test_answers_are_sent_at_once() -> None:
    """Not held back until the head of an answer is acknowledged, which takes a client 40 ms."""

    async def delays() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(accepted, sock=(listening := _listen("127.0.0.1", 0))):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            writer.close()
            return await found

    with ThreadPoolExecutor(1) as other:  # a browser's tests may have a loop running in this thread
        assert other.submit(asyncio.run, delays()).result()


def test_headers_that_do_not_come(own: Server) -> None:
    for sent in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: loc"):
        with _connected(own.address, sent) as half:
            assert half.recv(100).startswith(b"HTTP/1.1 408 ")
    with _connected(own.address, b"GET / HTTP/1.1\r\nHost: x\r\nX: ") as trickling:  # a byte at a time gains nothing
        began = time.monotonic()
        while time.monotonic() - began < 10:
            try:
                trickling.sendall(b"a")
            except OSError:
                break
            time.sleep(0.1)
        assert time.monotonic() - began < 5


def test_bodies_that_do_not_come(own: Server) -> None:
    with _connected(own.address, _upload(own.address, 1000)) as half:
        assert half.recv(100).startswith(b"HTTP/1.1 408 ")
        while half.recv(4096):
            pass  # until it is closed
    with _connected(own.address, _upload(own.address, 1_000_000)) as trickling:
        began, got = time.monotonic(), b""
        trickling.settimeout(0.2)
        while not got and time.monotonic() - began < 15:
            try:
                trickling.sendall(b"a")
                got = trickling.recv(4096)
            except TimeoutError:
                continue
        assert got.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began < 10
    assert own.bring(text="FINDINGS: Clear lungs.").status == 201


def test_a_reading_process_that_died_is_no_fault_of_the_next_file(own: Server, tmp_path: Path) -> None:
    film = tmp_path / "film.dcm"
    film.write_bytes(_film(own.collection))
    with Sandbox() as sandbox:
        sandbox.read(film)
        process = sandbox._workers[0]._process
        assert process is not None
        process.kill()
        process.wait()
        sandbox.read(film)
        sandbox.check()


def test_reading_processes_that_cannot_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("lingula.reading.sandbox._COMMAND", (sys.executable, "-c", "raise SystemExit(1)"))
    (tmp_path / "film.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with Sandbox() as sandbox:
        for ask in (lambda: sandbox.read(tmp_path / "film.png"), sandbox.check):
            with pytest.raises(LingulaError) as refused:
                ask()
            assert refused.value.code == "reader_unavailable"


def test_folders_of_killed_processes_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f"{PREFIX}abcdefgh"
    others = [tmp_path / "lingula-spool-", tmp_path / f"{PREFIX}abcdefgh.txt", tmp_path / "else"]
    for folder in (left, *others):
        folder.mkdir()
        (folder / "00001.file").write_bytes(b"film")
    with SpoolFolder() as used:
        used.add("00001.file", b"film")
        assert sweep() == 0  # all are young
        for folder in (left, used.path, *others):
            os.utime(folder, (0, 0))
        assert sweep() == 1
        assert not left.exists()
        assert (used.path / "00001.file").exists()
        assert all((folder / "00001.file").exists() for folder in others)
    assert not used.path.exists()


def test_the_log(served: Server) -> None:
    stream = io.StringIO()
    loggers = [logging.getLogger(name) for name in ("lingula.server", "uvicorn.error")]
    kept = [(each.handlers[:], each.level, each.propagate) for each in loggers]
    try:
        write_log(stream, as_json=True)
        served.bring(("Meier.dcm", b"Meier"), text="FINDINGS: Mr Meier has an effusion.")
        served.ask("GET", "/search?word=Meier")
        served.ask("GET", "/api/health")
        served.ask("MEIER", "/Meier")
        until = time.monotonic() + 5
        while '"status": 404' not in stream.getvalue() and time.monotonic() < until:
            time.sleep(0.02)  # a line is written when its answer has gone
        try:
            raise ValueError("Meier")
        except ValueError:
            logging.getLogger("uvicorn.error").exception("Exception for Meier")
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        write_log(stream)
        note(logging.INFO, "request", status=200)
    finally:
        for logger, (handlers, level, propagate) in zip(loggers, kept, strict=True):
            logger.handlers[:], logger.propagate = handlers, propagate
            logger.setLevel(level)
    requests = [line for line in lines if line["event"] == "request"]
    assert [(each["method"], each["route"], each["status"]) for each in requests] == [
        ("POST", "/api/cases", 422), ("GET", "/search", 200), ("GET", "/api/health", 200), ("-", "-", 404)
    ]  # fmt: skip
    assert all(
        set(each) == {"time", "level", "event", "method", "route", "status", "ms", "request"} for each in requests
    )
    assert lines[-1]["kind"] == "ValueError"
    assert "Meier" not in stream.getvalue()
    assert stream.getvalue().splitlines()[-1].endswith("Z INFO request status=200")


def test_the_end_comes_within_five_seconds(stock: Stock, tmp_path: Path) -> None:
    """Half a request, half an upload, a stream and an import that waits for the database: SIGTERM ends them all."""
    made_up.checkpoint(tmp_path / "tiny")
    file = tmp_path / "own.sqlite"
    stock.library.backup(file)
    command = [sys.executable, "-m", "lingula", "serve", "--library", str(file), "--port", "0", "--json",
               "--model", str(tmp_path / "tiny")]  # fmt: skip
    spool = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=spool) as process:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"].rstrip("/")
        server = Server(address, stock.library, stock.collection)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            folder = json.dumps({"folder": str(_few_films(stock.collection, tmp_path / "films"))}).encode()
            job = server.ask("POST", "/api/imports/folder", folder, Content_Type="application/json").json["job_id"]
            head = f"GET /api/jobs/{job}/events HTTP/1.1\r\nHost: {urlsplit(address).netloc}\r\n\r\n".encode()
            half = [_connected(address, sent) for sent in (b"GET / HT", _upload(address, 10_000), head)]
            threading.Thread(target=lambda: server.bring(("a", _film(stock.collection))), daemon=True).start()
            time.sleep(4)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
            took = time.monotonic() - began
            for each in half:
                each.close()
            other.execute("ROLLBACK")
        assert process.stderr is not None
        log = process.stderr.read()
    assert took < 5.5, took
    assert '"event": "start"' in log
    assert str(tmp_path) not in log
    with Library.open(file) as library:
        assert library.verify() == ()


def _few_films(collection: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in sorted((collection / "NLMCXR_dcm").rglob("*.dcm"))[:2]:
        shutil.copy(path, folder)
    return folder
