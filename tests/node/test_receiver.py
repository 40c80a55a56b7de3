"""The receiver with DCMTK's senders: what is acknowledged lies in the spool, byte for byte."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="needs the extra pacs")

from tests.node_films import peer, send, write_film

from lingula.node.receiver import INCOMING, options_of, sender_of
from lingula.node.settings import AllowedSender, ReceiveSettings
from orthanc import free_port

ALLOW = (AllowedSender("MODALITY", "127.0.0.0/8"), AllowedSender("FAR", "192.0.2.1"))


@contextmanager
def receiving(spool: Path, settings: ReceiveSettings) -> Iterator[subprocess.Popen[str]]:
    """A receiving process, ready."""
    command = [sys.executable, "-m", "lingula.node.receiver", options_of(settings, spool)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.fixture
def settings() -> ReceiveSettings:
    return ReceiveSettings(port=free_port(), allow=ALLOW)


def test_a_film_is_in_the_spool_when_it_is_acknowledged(tmp_path: Path, settings: ReceiveSettings) -> None:
    films = [write_film(tmp_path / f"{n}.dcm", number=n) for n in range(3)]
    with receiving(tmp_path / "spool", settings):
        echo = [peer("echoscu"), "-aet", "MODALITY", "-aec", "LINGULA", "127.0.0.1", str(settings.port)]
        assert subprocess.run(echo, timeout=60).returncode == 0
        assert send(settings, *films) == 0
    kept = sorted((tmp_path / "spool" / INCOMING).iterdir())
    assert {sender_of(file.name) for file in kept} == {"MODALITY"}
    assert not list((tmp_path / "spool" / "arriving").iterdir())
    sent = {str(dataset.SOPInstanceUID): dataset.PixelData for dataset in map(pydicom.dcmread, films)}
    assert {str(dataset.SOPInstanceUID): dataset.PixelData for dataset in map(pydicom.dcmread, kept)} == sent
    assert all(file.stat().st_mode & 0o077 == 0 for file in kept)


@pytest.mark.parametrize("longest", ["4096", "16384", "131072"])
def test_a_film_in_many_fragments_is_kept_byte_for_byte(
    longest: str, tmp_path: Path, settings: ReceiveSettings
) -> None:  # fmt: skip
    film = write_film(tmp_path / "film.dcm")
    large = pydicom.dcmread(film)
    large.Rows = large.Columns = 700
    large.PixelData = np.random.default_rng(0).bytes(700 * 700 * large.BitsAllocated // 8)
    large.save_as(film, enforce_file_format=True)
    with receiving(tmp_path / "spool", settings):
        command = [peer("storescu"), "-pdu", longest, "-aet", "MODALITY", "-aec", "LINGULA", "127.0.0.1"]
        assert subprocess.run([*command, str(settings.port), str(film), str(film)], timeout=60).returncode == 0
    kept = list((tmp_path / "spool" / INCOMING).iterdir())
    assert [pydicom.dcmread(file).PixelData == large.PixelData for file in kept] == [True, True]


def test_a_sender_that_breaks_off_amid_a_film_leaves_nothing(tmp_path: Path, settings: ReceiveSettings) -> None:
    film = write_film(tmp_path / "film.dcm")
    large = pydicom.dcmread(film)
    large.Rows, large.Columns = 4000, 4000
    large.PixelData = bytes(4000 * 4000 * large.BitsAllocated // 8)
    large.save_as(film, enforce_file_format=True)
    with receiving(tmp_path / "spool", settings):
        command = [peer("storescu"), "-pdu", "4096", "-aet", "MODALITY", "-aec", "LINGULA", "127.0.0.1"]
        with subprocess.Popen([*command, str(settings.port), str(film)]) as sender:
            while not list((tmp_path / "spool" / "arriving").iterdir()):
                time.sleep(0.002)
            sender.kill()
        assert send(settings, write_film(tmp_path / "next.dcm", number=7)) == 0
    assert len(list((tmp_path / "spool" / INCOMING).iterdir())) == 1


@pytest.mark.parametrize("aet", ["STRANGER", "FAR"])
def test_nobody_else_is_let_in(aet: str, tmp_path: Path, settings: ReceiveSettings) -> None:
    film = write_film(tmp_path / "film.dcm")
    with receiving(tmp_path / "spool", settings):
        assert send(settings, film, aet=aet) != 0
        assert send(replace(settings, aet="OTHER"), film) != 0
    assert not list((tmp_path / "spool" / INCOMING).iterdir())


def test_a_full_disk_is_told_to_the_sender(tmp_path: Path, settings: ReceiveSettings) -> None:
    film = write_film(tmp_path / "film.dcm")
    with receiving(tmp_path / "spool", replace(settings, free_bytes=1 << 60)):
        assert send(settings, film) != 0
    assert not list((tmp_path / "spool" / INCOMING).iterdir())
    assert not list((tmp_path / "spool" / "arriving").iterdir())


def test_two_processes_share_a_port(tmp_path: Path, settings: ReceiveSettings) -> None:
    films = [write_film(tmp_path / f"{n}.dcm", number=n) for n in range(8)]
    with receiving(tmp_path / "spool", settings), receiving(tmp_path / "spool", settings):
        command = [peer("storescu"), "-aet", "MODALITY", "-aec", "LINGULA", "127.0.0.1", str(settings.port)]
        senders = [subprocess.Popen([*command, str(film)]) for film in films]
        assert [sender.wait(60) for sender in senders] == [0] * 8
    assert len(list((tmp_path / "spool" / INCOMING).iterdir())) == 8
