"""The application served for real, on a phantom collection with a tiny model; a browser that forgives nothing."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from tests import made_up

from lingula.ingest.batches import create_library
from lingula.ingest.openi import import_openi
from lingula.library import Library
from lingula.model.checkpoint import Checkpoint
from lingula.reading.sandbox import Sandbox
from lingula.server import Settings, create_app
from lingula.server.serving import config_of
from lingula_phantom import generate

STUDIES = 12


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """A running server and a client that sends what a page of it would send."""

    address: str
    library: Library
    collection: Path

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=60)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if method != "GET":
            sent = {"X-Lingula": "1", **sent}
        connection.request(method, path, body, {name: value for name, value in sent.items() if value})
        got = connection.getresponse()
        answer = Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
        connection.close()
        return answer

    def post(self, path: str, body: Any) -> Answer:
        return self.ask("POST", path, json.dumps(body).encode(), Content_Type="application/json")

    def bring(self, *files: tuple[str, bytes], text: str = "", **headers: str) -> Answer:
        edge = "edge-of-a-part"
        parts = [
            f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode() + data
            for name, data in files
        ]
        if text:
            parts.append(f'--{edge}\r\nContent-Disposition: form-data; name="text"\r\n\r\n{text}'.encode())
        body = b"\r\n".join([*parts, f"--{edge}--\r\n".encode()])
        return self.ask("POST", "/api/cases", body, Content_Type=f"multipart/form-data; boundary={edge}", **headers)


@contextmanager
def running(checkpoint: Checkpoint, library: Library, collection: Path, settings: Settings) -> Iterator[Server]:
    config = config_of(create_app(checkpoint, library, settings), settings, port=0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until = time.monotonic() + 60
    while not server.started and thread.is_alive() and time.monotonic() < until:
        time.sleep(0.02)
    try:
        assert server.started
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Server(f"http://127.0.0.1:{port}", library, collection)
    finally:
        server.should_exit = True
        thread.join()


@dataclass(frozen=True)
class Stock:
    checkpoint: Checkpoint
    library: Library
    collection: Path


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    folder = tmp_path_factory.mktemp("served")
    generate(folder / "collection", studies=STUDIES)
    checkpoint = made_up.checkpoint(folder / "tiny")
    with create_library(checkpoint, folder / "library.sqlite") as library:
        with Sandbox() as sandbox:
            import_openi(library, checkpoint, folder / "collection", sandbox)
        yield Stock(checkpoint, library, folder / "collection")


@pytest.fixture(scope="session")
def served(stock: Stock) -> Iterator[Server]:
    with running(stock.checkpoint, stock.library, stock.collection, Settings()) as server:
        yield server


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not program:
        pytest.skip("needs Chromium (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, served: Server) -> Iterator[Any]:
    """A page of the server; whatever the console, the security policy or the network complains of fails the test."""
    context = chromium.new_context(base_url=served.address, viewport={"width": 1280, "height": 900})
    made = context.new_page()
    made.set_default_timeout(30_000)
    trouble: list[str] = []
    expected: list[str] = []
    made.expected = expected
    made.on("console", lambda said: trouble.append(said.text) if said.type == "error" else None)
    made.on("pageerror", lambda error: trouble.append(str(error)))

    def watch(request: Any) -> None:
        if not request.url.startswith((served.address, "data:", "blob:")):
            trouble.append(f"outside: {request.url}")
        if "/csp-reports" in request.url:
            trouble.append(f"policy: {request.post_data}")

    made.on("request", watch)
    yield made
    context.close()
    assert [each for each in trouble if not any(words in each for words in expected)] == []
