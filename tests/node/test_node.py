"""A node between DCMTK's sender and a real Orthanc: what is sent comes back as results that the archive has."""

from __future__ import annotations

import io
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="needs the extra pacs")

from tests.library.conftest import server, url  # noqa: F401  (fixtures)
from tests.node_films import result_of, send, write_film

import orthanc
from lingula.errors import InputError, NodeError
from lingula.library import Library
from lingula.model.checkpoint import Checkpoint, load_checkpoint
from lingula.node.delivery import DimseArchive, WebArchive
from lingula.node.log import write_log
from lingula.node.node import Node, locked, node_library
from lingula.node.objects import result_objects
from lingula.node.settings import AllowedSender, NodeSettings, PollSettings, ReceiveSettings, SendSettings, WebTarget
from lingula.reading.sandbox import Sandbox
from orthanc import free_port


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[orthanc.Orthanc]:
    if orthanc.program() is None or orthanc.plugin("OrthancDicomWeb") is None:
        pytest.skip("Orthanc with its DICOMweb plugin is not installed")
    with orthanc.running(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture(scope="module")
def model() -> Checkpoint:
    return load_checkpoint("compact")


@contextmanager
def working(settings: NodeSettings, model: Checkpoint) -> Iterator[Library]:
    """A node that works; its library."""
    stop, failures = threading.Event(), list[BaseException]()
    with node_library(settings.library, model) as library:
        node = Node(settings.checked(), library, model)

        def run() -> None:
            try:
                node.run(stop)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        assert node.working.wait(60)
        try:
            yield library
        finally:
            stop.set()
            thread.join(60)
    assert failures == []


def until(told: Callable[[], bool], seconds: float = 60) -> None:
    for _ in range(int(seconds / 0.05)):
        if told():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def settings_of(tmp_path: Path, *targets: SendSettings, **given: object) -> NodeSettings:
    receive = ReceiveSettings(port=free_port(), allow=(AllowedSender("MODALITY", "127.0.0.1"),), processes=1)
    own = {"library": str(tmp_path / "library.sqlite"), "spool": tmp_path / "spool", "lease_seconds": 30.0}
    return NodeSettings(quiet_seconds=0.3, send=targets, **{"receive": receive, **own, **given})


def test_a_film_comes_back_as_results_by_both_ways(
    tmp_path: Path, archive: orthanc.Orthanc, model: Checkpoint
) -> None:  # fmt: skip
    targets = (
        SendSettings("web", url=archive.dicom_web),
        SendSettings("dimse", aet="ARCHIVE", host="127.0.0.1", port=archive.dicom),
        SendSettings("dead", aet="NOBODY", host="127.0.0.1", port=free_port()),
    )
    settings = settings_of(tmp_path, *targets)
    film, broken = write_film(tmp_path / "film.dcm"), write_film(tmp_path / "broken.dcm", number=2, Rows=7)
    with working(settings, model) as library:
        assert settings.receive is not None
        assert send(settings.receive, film, broken) == 0
        until(lambda: library.exchange.counts()["outbox"].get("stored", 0) == 6)
        counts = library.exchange.counts()
        assert counts == {"inbox": {"answered": 1, "refused": 1}, "outbox": {"stored": 6, "waiting": 3}}
        dead = [item for item in library.exchange.items(now=time.time()) if item.target == "dead"]
        until(lambda: all(item.code == "peer_unreachable" for item in library.exchange.items(now=0)
                          if item.target == "dead"))  # fmt: skip
        assert len(dead) == 3
        assert len(list((settings.spool / "results").iterdir())) == 3  # one target does not have them yet
    assert {len(archive.instances(modality)) for modality in ("SR", "PR", "OT")} == {1}


def test_the_log_as_json_says_what_happened_and_nothing_of_a_patient(
    tmp_path: Path, archive: orthanc.Orthanc, model: Checkpoint
) -> None:
    settings = settings_of(tmp_path, SendSettings("web", url=archive.dicom_web), kinds=("sr",))
    film = write_film(tmp_path / "film.dcm", number=77, PatientName="KANARI^VOGEL", PatientID="KANARI-4711")
    logger, told = logging.getLogger("lingula.node"), io.StringIO()
    before = logger.handlers[:], logger.level, logger.propagate
    try:
        write_log(as_json=True, stream=told)
        with working(settings, model) as library:
            assert settings.receive is not None
            assert send(settings.receive, film, write_film(tmp_path / "broken.dcm", number=78, Rows=7)) == 0
            until(lambda: library.exchange.counts()["outbox"].get("stored", 0) == 1)
            until(lambda: library.exchange.counts()["inbox"].get("refused", 0) == 1)
    finally:
        logger.handlers[:], logger.level, logger.propagate = before
    lines = [json.loads(line) for line in told.getvalue().splitlines()]
    events = {line["event"]: line for line in lines}
    assert {"started", "study answered", "delivered", "ended"} <= events.keys()
    assert events["delivered"]["target"] == "web"
    uid = str(pydicom.dcmread(film).StudyInstanceUID)
    assert not [mark for mark in ("KANARI", "VOGEL", "film.dcm", uid) if mark in told.getvalue()]


def test_the_same_film_again_makes_no_second_result(
    tmp_path: Path, archive: orthanc.Orthanc, model: Checkpoint
) -> None:  # fmt: skip
    settings = settings_of(tmp_path, SendSettings("web", url=archive.dicom_web), kinds=("sr",))
    before = len(archive.instances("SR"))
    film = write_film(tmp_path / "again.dcm", number=5)
    with working(settings, model) as library:
        assert settings.receive is not None
        for _ in range(2):
            assert send(settings.receive, film) == 0
            until(lambda: library.exchange.counts()["outbox"].get("stored", 0) == 1)
        until(lambda: library.exchange.counts()["inbox"] == {"answered": 1, "copy": 1})
        until(lambda: not list((settings.spool / "incoming").iterdir()))
        until(lambda: not list((settings.spool / "results").iterdir()))
    assert len(archive.instances("SR")) == before + 1


def test_nodes_share_one_library_and_no_result_is_there_twice(
    tmp_path: Path,
    archive: orthanc.Orthanc,
    model: Checkpoint,
    url: str,  # noqa: F811
) -> None:
    """Two nodes on one PostgreSQL receive some films each, and two films both of them."""
    before = len(archive.instances("SR"))
    target = SendSettings("web", url=archive.dicom_web)
    one, other = (
        settings_of(tmp_path / name, target, kinds=("sr",), library=url, name=name, spool=tmp_path / name / "spool",
                    lease_seconds=0.5)
        for name in ("one", "other")
    )  # fmt: skip
    films = [write_film(tmp_path / f"{number}.dcm", number=100 + number) for number in range(6)]
    with working(one, model) as library, working(other, model):
        assert one.receive is not None
        assert other.receive is not None
        senders = [threading.Thread(target=send, args=(receive, *some))
                   for receive, some in ((one.receive, films[:4]), (other.receive, films[2:]))]  # fmt: skip
        for thread in senders:
            thread.start()
        for thread in senders:
            thread.join()
        until(lambda: library.exchange.counts() == {"inbox": {"answered": 8}, "outbox": {"stored": 6}})
        places = [settings.spool / folder for settings in (one, other) for folder in ("incoming", "results")]
        until(lambda: not [file for place in places for file in place.glob("*.dcm")])
    assert len(archive.instances("SR")) == before + 6


def test_a_result_is_not_swept_before_the_outbox_names_it(
    tmp_path: Path, model: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path, SendSettings("web", url="http://127.0.0.1:9/dicom-web"), kinds=("sr",))
    sweepers: list[threading.Thread] = []
    with node_library(settings.library, model) as library, Sandbox() as sandbox:
        node = Node(settings.checked(), library, model)
        write_film(settings.spool / "incoming" / "1.dcm", number=1)
        node.note(sandbox)
        results, answer = settings.spool / "results", library.exchange.answer_study

        def slowly(*given: Any, **named: Any) -> bool:
            for file in results.iterdir():
                os.utime(file, (0, 0))  # an answer takes long to be noted
            sweepers.append(threading.Thread(target=node.sweep))
            sweepers[0].start()
            sweepers[0].join(0.5)
            return answer(*given, **named)

        monkeypatch.setattr(library.exchange, "answer_study", slowly)
        until(lambda: node.judge(sandbox))
        sweepers[0].join()
        assert {file.stem for file in results.iterdir()} == library.exchange.undelivered(settings.name) != frozenset()


def test_a_node_that_polls_finds_new_films_once(tmp_path: Path, archive: orthanc.Orthanc, model: Checkpoint) -> None:
    archive.add(write_film(tmp_path / "polled.dcm", number=9))
    films = len(archive.instances("CR"))
    settings = settings_of(
        tmp_path, SendSettings("web", url=archive.dicom_web), kinds=("sr",), receive=None,
        poll=PollSettings(archive.dicom_web, seconds=0.2),
    )  # fmt: skip
    for _ in range(2):  # the second run finds nothing new
        with working(settings, model) as library:
            until(lambda: library.exchange.counts()["outbox"].get("stored", 0) >= 1)
            time.sleep(1)
            assert sum(library.exchange.counts()["inbox"].values()) == films


def test_what_a_store_says_is_not_believed(tmp_path: Path, archive: orthanc.Orthanc) -> None:
    """Objects are told stored when the archive lists them, by QIDO and by C-FIND, and not before."""
    result = result_of(write_film(tmp_path / "film.dcm", number=11))
    files = [each.data for each in result_objects(result)]
    web = WebArchive(WebTarget(archive.dicom_web))
    dimse = DimseArchive(SendSettings("a", aet="ARCHIVE", host="127.0.0.1", port=archive.dicom))
    assert web.stored(files) == dimse.stored(files) == frozenset()
    web.store(files[:2])
    assert len(web.stored(files)) == len(dimse.stored(files)) == 2
    dimse.store(files)
    assert len(web.stored(files)) == len(dimse.stored(files)) == 3


def test_a_dead_archive_is_said_to_be_unreachable(tmp_path: Path) -> None:
    files = [each.data for each in result_objects(result_of(write_film(tmp_path / "film.dcm")), ["sr"])]
    for target in (
        WebArchive(WebTarget(f"http://127.0.0.1:{free_port()}/dicom-web")),
        DimseArchive(SendSettings("a", aet="ARCHIVE", host="127.0.0.1", port=free_port())),
    ):
        with pytest.raises(NodeError) as error:
            target.store(files)
        assert error.value.code == "peer_unreachable"


def test_the_log_names_whom_a_node_did_not_let_in(
    tmp_path: Path, model: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    settings = settings_of(tmp_path)
    with working(settings, model):
        assert settings.receive is not None
        assert send(settings.receive, write_film(tmp_path / "film.dcm"), aet="STRANGER") != 0
        until(lambda: "sender refused aet=STRANGER address=127.0.0.1" in caplog.text)


def test_a_spool_has_one_node(tmp_path: Path) -> None:
    with locked(tmp_path / "spool"), pytest.raises(InputError) as refused, locked(tmp_path / "spool"):
        pass
    assert refused.value.code == "bad_request"


@pytest.mark.parametrize(
    "wrong",
    [
        NodeSettings(),
        NodeSettings(receive=ReceiveSettings()),
        NodeSettings(receive=ReceiveSettings(allow=(AllowedSender("A", "not an address"),))),
        NodeSettings(poll=PollSettings("http://x"), kinds=("stl",)),
        NodeSettings(poll=PollSettings("http://x"), send=(SendSettings("a"),)),
        NodeSettings(poll=PollSettings("http://x"), send=(SendSettings("a", url="u"), SendSettings("a", url="v"))),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: NodeSettings) -> None:
    with pytest.raises(InputError) as refused:
        wrong.checked()
    assert refused.value.code == "bad_request"
