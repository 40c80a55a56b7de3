"""A node at work: films come in, are judged when their study is quiet, and results go out until they are read back.

Each part is a thread that looks for work, does it and looks again; what it holds it holds by a lease in the library, so
that a node that is killed loses nothing and does nothing twice. Films and results lie in the spool until every target
has them.
"""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lingula.durable_file import put_in_place, sync
from lingula.errors import InputError, LibraryError, LingulaError, NodeError
from lingula.library import Library
from lingula.library.exchange_records import Delivery, ReceivedFilm, StudyLease
from lingula.library.identity import pseudonym
from lingula.model.checkpoint import Checkpoint
from lingula.node.delivery import StorageTarget, target_of
from lingula.node.drift import DriftWatch
from lingula.node.judging import judged, observed
from lingula.node.kinds import checked_kinds
from lingula.node.objects import ResultObject
from lingula.node.polling import Poller
from lingula.node.receiver import INCOMING, READY, REFUSAL, options_of, sender_of
from lingula.node.settings import NodeSettings, SendSettings
from lingula.reading.sandbox import Sandbox

log = logging.getLogger("lingula.node")
RESULTS = "results"
IDLE = 0.05
"""Seconds between two looks for work."""
REFUSED = 86400.0
"""Seconds for which a film that was refused is kept, so that it can be tried again."""
SWEEP = 5.0
"""Seconds between two looks for files that may go."""
DRIFT = 60.0
"""Seconds between two looks whether senders' films are as they were."""
OBSERVED_DAYS = 400.0
"""For how long what was seen of films is kept."""


def node_library(url: str, model: Checkpoint) -> Library:
    """The library of a node, made where there is none: it holds inbox and outbox, with studies in it or without.

    Raises:
        ModelError: ``model_mismatch``. LibraryError: ``library_newer``, ``index_corrupt``.
    """
    try:
        return Library.open(url, model=model.fingerprint)
    except LibraryError as error:
        if error.code != "library_missing":
            raise
    vocabulary, dimension = model.vocabulary, model.model.architecture.dimension
    return Library.create(
        url, model=model.fingerprint, vocabulary=vocabulary.digest, labels=vocabulary.codes, dimension=dimension
    )


class Node:
    """One node with its spool.

    Args:
        settings: checked. library: open, of the model. model: judges the films.

    Raises:
        InputError: ``bad_request`` where another process has the spool.
    """

    def __init__(self, settings: NodeSettings, library: Library, model: Checkpoint) -> None:
        self._settings, self._library, self._model = settings, library, model
        self._exchange = library.exchange
        self._incoming, self._results = settings.spool / INCOMING, settings.spool / RESULTS
        for folder in (self._incoming, self._results):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._owner = f"{settings.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._kinds = checked_kinds(settings.kinds)
        self._stop = threading.Event()
        self.working = threading.Event()
        """Set while the node listens and every part looks for work."""
        self._drift = DriftWatch(library)
        self._naming = threading.Lock()  # results lie in the spool that the outbox does not name yet
        self._told: set[tuple[str, str, float]] = set()
        self._noted: set[str] = set(self._exchange.films(settings.name))

    def run(self, stop: threading.Event | None = None) -> None:
        """Work until ``stop`` is set."""
        self._stop = stop or self._stop
        with ExitStack() as stack:
            stack.enter_context(locked(self._settings.spool))
            self._exchange.free(self._settings.name)
            sandbox = stack.enter_context(Sandbox(2))
            keys = stack.enter_context(Sandbox(1))
            stack.enter_context(self._receiving())
            parts: list[tuple[str, Callable[[], bool], float]] = [
                ("note", lambda: self.note(keys), IDLE),
                ("judge", lambda: self.judge(sandbox), IDLE),
                ("sweep", self.sweep, SWEEP),
                ("drift", self.watch, DRIFT),
            ]
            for each in self._settings.send:
                parts.append((f"send {each.name}", self._sender(each), IDLE))
            if (poll := self._settings.poll) is not None:
                poller = Poller(poll, self._incoming, self._library.secret, self._exchange.films(self._settings.name))
                parts.append(("poll", lambda: poller.fetch(self._stop), poll.seconds))
            threads = [threading.Thread(target=self._repeat, args=part, name=part[0]) for part in parts]
            for thread in threads:
                thread.start()
            self.working.set()
            log.info("started name=%s model=%s", self._settings.name, self._model.fingerprint)
            self._stop.wait()
            for thread in threads:
                thread.join()
        log.info("ended")

    def _repeat(self, name: str, work: Callable[[], bool], pause: float) -> None:
        """Do a part's work until the node ends; a fault is noted, and the part goes on."""
        while not self._stop.is_set():
            try:
                found = work()
            except LingulaError as error:
                log.warning("%s failed code=%s", name, error.code)
                found = False
                self._stop.wait(1)
            except Exception as error:
                log.error("%s failed kind=%s", name, type(error).__name__, exc_info=log.isEnabledFor(logging.DEBUG))
                found = False
                self._stop.wait(1)
            if not found:
                self._stop.wait(pause)

    # -- parts

    def note(self, sandbox: Sandbox) -> bool:
        """Note the films of the spool that are not in the inbox yet; whether there were any."""
        new = [file for file in self._incoming.glob("*.dcm") if file.name not in self._noted]
        if not new:
            return False
        films = []
        for file, key in sandbox.read_keys(sorted(new)[:64]):
            if isinstance(key, LingulaError):
                study, digest = f"file-{file.name}", ""
            else:
                study, digest = key.study or key.digest, key.digest
            study = pseudonym(self._library.secret, study)
            films.append(ReceivedFilm(file.name, sender_of(file.name), digest, study, file.stat().st_mtime))
        self._exchange.note(self._settings.name, films)
        self._noted |= {film.film for film in films}
        return True

    def judge(self, sandbox: Sandbox) -> bool:
        """Answer the study that waits longest; whether there was one."""
        s = self._settings
        held = self._exchange.claim_study(
            s.name, self._owner, now=time.time(), lease=s.lease_seconds, quiet=s.quiet_seconds
        )  # fmt: skip
        if held is None:
            return False
        try:
            self._judge(held, sandbox)
        except LingulaError as error:
            self._exchange.postpone_study(held, error.code, now=time.time())
            log.warning("study postponed code=%s attempts=%d", error.code, held.attempts)
        except Exception as error:
            self._exchange.postpone_study(held, "internal", now=time.time())
            log.error("study postponed kind=%s", type(error).__name__, exc_info=log.isEnabledFor(logging.DEBUG))
        return True

    def _judge(self, held: StudyLease, sandbox: Sandbox) -> None:
        files = [self._incoming / film.film for film in held.films]
        done = judged(files, self._model, self._library, sandbox, self._kinds)
        refused = [(file.name, code) for file, code in done.refused]
        objects = [(each.sop_instance, each.kind) for each in done.objects]
        targets = [target.name for target in self._settings.send]
        name, now = self._settings.name, time.time()
        with self._naming:
            self._keep(done.objects)
            is_noted = self._exchange.answer_study(held, refused, objects, targets, node=name, now=now)
        if is_noted:
            self._library.observations.note(observed(done, node=name, sender=held.films[0].sender, at=now))
        log.info("study answered films=%d refused=%d objects=%d", len(files), len(refused), len(objects))

    def _keep(self, objects: Sequence[ResultObject]) -> None:
        """Results on the disk, before the outbox names them; one that is there stays as it is."""
        for each in objects:
            place = self._results / f"{each.sop_instance}.dcm"
            if place.exists():
                os.utime(place)  # not left over, as ``sweep`` would take it for
                continue
            part = place.with_suffix(".part")
            part.write_bytes(each.data)
            put_in_place(part, place)
        sync(self._results)

    def _sender(self, settings: SendSettings) -> Callable[[], bool]:
        """The part that delivers to one target: one that is dead keeps no other waiting."""
        target = target_of(settings)
        return lambda: self.deliver(settings.name, target)

    def deliver(self, name: str, target: StorageTarget) -> bool:
        """Store what waits of one study and read it back; whether anything waited."""
        s = self._settings
        held = self._exchange.claim_delivery(s.name, name, self._owner, now=time.time(), lease=s.lease_seconds)
        if held is None:
            return False
        stored, code = self._delivered(held, target)
        self._exchange.settle_delivery(held, stored, code, now=time.time())
        if len(stored) < len(held.instances):
            log.warning("not delivered target=%s code=%s attempts=%d", name, code or "not_stored", held.attempts)
        else:
            log.info("delivered target=%s objects=%d", name, len(stored))
        return True

    def _delivered(self, held: Delivery, target: StorageTarget) -> tuple[frozenset[str], str]:
        """Which objects the target has, and why not the others."""
        files = []
        for instance, _ in held.instances:
            try:
                files.append((self._results / f"{instance}.dcm").read_bytes())
            except OSError:
                log.error("a result is not in the spool")
        code = ""
        try:
            if not files:
                return frozenset(), "storage_unavailable"
            try:
                target.store(files)
            except LingulaError as error:
                code = error.code
                if code == "peer_unreachable":
                    return frozenset(), code
            return target.stored(files), code
        except LingulaError as error:
            return frozenset(), code or error.code

    def sweep(self) -> bool:
        """Remove films and results of studies with nothing left to do, copies, and what senders left half done."""
        name, present = self._settings.name, {file.name for file in self._incoming.glob("*.dcm")}
        for film in self._exchange.films(name, "copy") & present:
            (self._incoming / film).unlink(missing_ok=True)
        for film in self._exchange.films(name, "refused") & present:
            if time.time() - (self._incoming / film).stat().st_mtime > REFUSED:
                (self._incoming / film).unlink(missing_ok=True)
        results = list(self._results.iterdir())
        if present or results:
            films, objects = self._exchange.files_of(name, self._exchange.settled_studies(name))
            for film in set(films) & present:
                (self._incoming / film).unlink(missing_ok=True)
            for instance in objects:
                (self._results / f"{instance}.dcm").unlink(missing_ok=True)
            self._sweep_results(results)
        if self._settings.poll is None:  # a poller knows by the inbox what it has seen
            self._exchange.forget_before(time.time() - self._settings.history_days * 86400)
        return False

    def _sweep_results(self, results: Sequence[Path]) -> None:
        """Remove results that are none of this node's to deliver: another one has the same film and delivers them."""
        with self._naming:
            old = [file for file in results if _age(file) > 2 * self._settings.lease_seconds]
            own = self._exchange.undelivered(self._settings.name) if old else frozenset()
            for file in old:
                if file.stem not in own:
                    file.unlink(missing_ok=True)

    def watch(self) -> bool:
        """Note in the log, once, where a sender's films are not as they were."""
        self._library.observations.forget_before(time.time() - OBSERVED_DAYS * 86400)
        for signal in self._drift.report(fresh=True).signals:
            if (key := (signal.sender, signal.measure, signal.at)) not in self._told:
                self._told.add(key)
                log.warning("drift sender=%s measure=%s films=%d", signal.sender, signal.measure, signal.films)
        return False

    # -- receiving processes

    @contextmanager
    def _receiving(self) -> Iterator[None]:
        """Receiving processes, and a thread that replaces one that died."""
        settings = self._settings.receive
        if settings is None:
            yield
            return
        for left in (self._settings.spool / "arriving").glob("*"):
            left.unlink(missing_ok=True)  # never acknowledged
        command = [sys.executable, "-P", "-m", "lingula.node.receiver", options_of(settings, self._settings.spool)]
        running = [_started(command) for _ in range(settings.processes)]

        def watch() -> bool:
            for at, process in enumerate(running):
                if process.poll() is not None and not self._stop.is_set():
                    log.error("a receiving process ended status=%s", process.returncode)
                    running[at] = _started(command)
            return False

        watcher = threading.Thread(target=self._repeat, args=("watch", watch, 1.0), name="watch")
        watcher.start()
        try:
            yield
        finally:
            self._stop.set()
            watcher.join()
            for process in running:
                assert process.stdin is not None
                process.stdin.close()  # it ends by itself
                process.wait()


def _age(file: Path) -> float:
    """Seconds since a file was written; 0 for one that is gone."""
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """A receiving process that listens, whose refusals are written in the log.

    Raises:
        NodeError: ``receiver_failed``.
    """
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    if process.stdout.readline().decode().strip() != READY:
        process.kill()
        process.wait()
        raise NodeError("receiver_failed", "the receiver cannot listen.", "Is the port free, may it be opened?")
    _follow(process)
    return process


def _follow(process: subprocess.Popen[bytes]) -> None:
    """Write in the log whom a receiving process did not let in, until it ends."""

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if match := REFUSAL.fullmatch(line.decode().strip()):
                    log.warning("sender refused aet=%s address=%s", match[2] or "-", match[1])

    threading.Thread(target=read, name="follow", daemon=True).start()


@contextmanager
def locked(spool: Path) -> Iterator[None]:
    """Hold a spool for this process; the system lets it go when the process ends, however it does.

    Raises:
        InputError: ``bad_request`` where another process has it.
    """
    spool.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (spool / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            hint = "Give each node a spool of its own."
            raise InputError("bad_request", f"another node works in {spool}.", hint) from None
        yield
