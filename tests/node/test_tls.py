"""TLS with certificates made here: DCMTK's sender and receiver, an Orthanc that speaks HTTPS."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pynetdicom", reason="needs the extra pacs")

from tests.node.test_receiver import receiving
from tests.node_films import peer, result_of, write_film

import orthanc
from lingula.cli import collect
from lingula.errors import NodeError
from lingula.node.delivery import DimseArchive, WebArchive
from lingula.node.objects import result_objects
from lingula.node.receiver import INCOMING, server_tls
from lingula.node.settings import AllowedSender, ReceiveSettings, SendSettings, TlsFiles, WebTarget
from orthanc import free_port


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self.file = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        self._openssl("req", "-x509", "-subj", f"/CN={name}", "-days", "2", "-keyout", self._key, "-out", self.file,
                      *_NEW, "-addext", "basicConstraints=critical,CA:TRUE",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip

    def _openssl(self, *words: object) -> None:
        subprocess.run([peer("openssl"), *map(str, words)], check=True, capture_output=True)

    def certified(self, name: str) -> TlsFiles:
        """Certificate and key for this machine, and this authority to trust."""
        key, request, made = (self._folder / f"{self._name}-{name}.{ending}" for ending in ("key", "csr", "crt"))
        self._openssl("req", "-subj", f"/CN={name}", "-keyout", key, "-out", request, *_NEW)
        (names := self._folder / "names").write_text(
            "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n"
            "authorityKeyIdentifier=keyid\nbasicConstraints=CA:FALSE\n"
        )
        self._openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self._key, "-days", "2", "-out", made,
                      "-extfile", names, "-set_serial", abs(hash((self._name, name))) + 1)  # fmt: skip
        return TlsFiles(made, key, self.file)


_NEW = ("-newkey", "rsa:2048", "-nodes")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("house"), "house")


@pytest.fixture(scope="module")
def server(house: Authority) -> TlsFiles:
    return house.certified("server")


@pytest.fixture(scope="module")
def client(house: Authority) -> TlsFiles:
    return house.certified("client")


def test_films_come_by_tls_and_only_with_a_certificate_of_the_house(
    tmp_path: Path, server: TlsFiles, client: TlsFiles
) -> None:
    film = write_film(tmp_path / "film.dcm")
    settings = ReceiveSettings(port=free_port(), allow=(AllowedSender("MODALITY", "127.0.0.1"),), tls=server)
    stranger = Authority(tmp_path, "stranger").certified("client")
    plain = [peer("storescu"), "-to", "5", "-ta", "5", "-aet", "MODALITY", "-aec", "LINGULA"]
    where = ["127.0.0.1", str(settings.port), str(film)]
    with receiving(tmp_path / "spool", settings):
        for keys in ([], ["+tls", stranger.key, stranger.certificate, "+cf", client.authority]):
            told = subprocess.run([*plain, *map(str, keys), *where], capture_output=True, timeout=60)
            assert told.returncode != 0
            assert not list((tmp_path / "spool" / INCOMING).iterdir())
        own = ["+tls", client.key, client.certificate, "+cf", client.authority]
        told = subprocess.run([*plain, *map(str, own), *where], capture_output=True, timeout=60)
        assert told.returncode == 0, told.stderr
    assert len(list((tmp_path / "spool" / INCOMING).iterdir())) == 1


def test_results_go_by_tls_to_a_peer_that_is_certified(
    tmp_path: Path, server: TlsFiles, client: TlsFiles
) -> None:  # fmt: skip
    made = [each.data for each in result_objects(result_of(write_film(tmp_path / "film.dcm")), ["sr", "sc"])]
    (kept := tmp_path / "kept").mkdir()
    port = free_port()
    command = [peer("storescp"), "+tls", server.key, server.certificate, "+cf", server.authority, "-od", kept, port]
    target = SendSettings("pacs", aet="ARCHIVE", host="127.0.0.1", port=port, tls=client)
    stranger = replace(target, tls=Authority(tmp_path, "stranger").certified("client"))
    with subprocess.Popen([str(word) for word in command], stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(100):
                try:
                    DimseArchive(target).store(made)
                    break
                except NodeError:
                    time.sleep(0.05)
            assert len(list(kept.iterdir())) == 2
            with pytest.raises(NodeError):
                DimseArchive(stranger).store(made)
        finally:
            process.kill()
    assert len(list(kept.iterdir())) == 2


@contextmanager
def proxy(port: int, files: TlsFiles) -> Iterator[int]:
    """A port that speaks TLS to certified clients and hands on to another port, as a proxy before an archive."""
    context, ended = server_tls(files), threading.Event()

    def copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def serve(plain: socket.socket) -> None:
        with (
            suppress(OSError),
            context.wrap_socket(plain, server_side=True) as secure,
            socket.create_connection(("127.0.0.1", port)) as onward,
        ):
            back = threading.Thread(target=copy, args=(onward, secure), daemon=True)
            back.start()
            copy(secure, onward)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)

        def accept() -> None:
            while not ended.is_set():
                with suppress(TimeoutError):
                    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            ended.set()
            thread.join()


def test_results_go_by_https_and_are_read_back(
    tmp_path: Path, server: TlsFiles, client: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orthanc 1.10 of Debian ends with its own HTTPS at the first request; a proxy speaks it."""
    if orthanc.program() is None or orthanc.plugin("OrthancDicomWeb") is None:
        pytest.skip("Orthanc with its DICOMweb plugin is not installed")
    made = [each.data for each in result_objects(result_of(write_film(tmp_path / "film.dcm")), ["sr", "gsps"])]
    with orthanc.running(tmp_path / "orthanc") as archive, proxy(archive.http, server) as port:
        address = f"https://127.0.0.1:{port}/dicom-web"
        target = WebArchive(WebTarget(address, tls=client))
        target.store(made)
        assert len(target.stored(made)) == 2
        stranger = Authority(tmp_path, "stranger").certified("client")
        nameless = TlsFiles(authority=client.authority)
        for wrong in (stranger, nameless, None):
            with pytest.raises(NodeError):
                WebArchive(WebTarget(address, tls=wrong)).stored(made)
        indexes: list[Any] = []
        monkeypatch.setattr(collect, "_index", lambda archive, *given: indexes.append(archive))
        collect.import_dicomweb(address, authority=client.authority, certificate=client.certificate, key=client.key)
        collect.import_dicomweb(address, authority=stranger.authority)
        assert indexes[0].studies() == {}
        with pytest.raises(NodeError):
            indexes[1].studies()
