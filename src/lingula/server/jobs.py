"""Imports that go on while the page is used: progress to follow, and a way to stop them."""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, ClassVar, Literal, cast

from lingula.errors import STORAGE_ERRNOS, ErrorAnswer, InputError, LingulaError, ServerError, cause, storage_error
from lingula.ingest.batches import Imported, Progress
from lingula.ingest.files import FileImport, import_files
from lingula.ingest.openi import import_openi
from lingula.ingest.sources import REPORT_ENDINGS, Source, without_ending
from lingula.library import Library
from lingula.library.identity import public_name
from lingula.model.batch import Batch
from lingula.model.checkpoint import Checkpoint
from lingula.model.forward import Encoded, Forward, Output
from lingula.openi.collection import Refused
from lingula.openi.fetch import What, fetch, unpack_once
from lingula.plain import HIDDEN
from lingula.reading.archive import ARCHIVE_ENDINGS
from lingula.reading.bounded_io import read_head
from lingula.reading.folder import walk
from lingula.server.log import note
from lingula.server.redaction import without_paths
from lingula.server.service import FAREWELL, Service
from lingula.server.spool import SpoolFolder

Stage = Literal["download", "unpack", "import"]
State = Literal["waiting", "running", "done", "failed", "cancelled"]
KEPT = 20
COLLECTION: tuple[What, ...] = ("reports", "png")


_REPORTS = re.compile(r".*reports.*\.(tgz|tar|tar\.gz|zip)", re.IGNORECASE)
_PLACE = re.compile(r"\d{5}(\.[a-z]{1,4})?", re.ASCII)


class Cancelled(Exception):
    """Somebody stopped the import; what was stored stays stored."""


@dataclass(slots=True, eq=False)
class Job:
    """One import.

    Attributes:
        stage: what is done now; done and total are bytes of a download, and studies of an import.
        refused: (name that may be shown, code) of what was refused.
    """

    job_id: str
    state: State = "waiting"
    stage: Stage = "import"
    done: int = 0
    total: int = 0
    result: Imported | None = field(default=None, metadata=HIDDEN)
    refused: tuple[tuple[str, str], ...] = field(default=(), metadata=HIDDEN)
    error: LingulaError | None = field(default=None, metadata=HIDDEN)
    places: tuple[str, ...] = field(default=(), metadata=HIDDEN)
    stop: threading.Event = field(default_factory=threading.Event, metadata=HIDDEN)

    SHOWN: ClassVar = {"*": "outcome", "refused": "shown_refusals", "error": "shown_error"}

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    @property
    def outcome(self) -> Imported:
        return self.result or Imported(0, 0, 0)

    @property
    def shown_refusals(self) -> tuple[Refused, ...]:
        return tuple(Refused(Path(name), code, cause(code)) for name, code in self.refused[:500])

    @property
    def shown_error(self) -> ErrorAnswer | None:
        if self.error is None:
            return None
        return ErrorAnswer(self.error.code, without_paths(self.error.message, self.places))


class _SharedModel:
    """The model as an import uses it: taken for one batch, so that whoever asks waits for no file and no database."""

    def __init__(self, model: Forward, lock: threading.Lock) -> None:
        self._model, self._lock = model, lock

    def encode(self, batch: Batch) -> Encoded:
        with self._lock:
            return self._model.encode(batch)

    def fuse(self, encoded: Encoded) -> Output:
        with self._lock:
            return self._model.fuse(encoded)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


class Jobs:
    """The imports of one server, one after the other."""

    def __init__(self, service: Service, library: Library) -> None:
        self._service, self._library = service, library
        self._jobs: dict[str, Job] = {}
        self._turn = threading.Lock()

    def get(self, job_id: str) -> Job:
        """A job by its id.

        Raises:
            ServerError: ``job_unknown``.
        """
        if job_id not in self._jobs:
            raise ServerError("job_unknown", "There is no such import.")
        return self._jobs[job_id]

    def import_folder(self, folder: Path) -> Job:
        """Import a folder of this machine: an Open-i tree where it holds XML, films otherwise."""
        try:
            is_there = folder.is_dir()
        except (OSError, ValueError):  # a name no file system takes
            is_there = False
        if not is_there:
            raise InputError("not_found", "there is no such folder.", "Give the whole path of a folder.")

        def run(checkpoint: Checkpoint, progress: Progress) -> Imported:
            read = import_openi if is_openi(folder) else import_files
            return read(self._library, checkpoint, folder, self._service.sandbox, progress=progress)

        return self._start(run, folder)

    def import_collection(self) -> Job:
        """Download the Open-i collection next to the library, reports and PNG films, unpack and import it.

        What was downloaded before is not downloaded again, so that a later call goes on where one stopped.
        """
        folder = Path(self._library.place).parent / "openi"

        def run(checkpoint: Checkpoint, progress: Progress) -> Imported:
            for kind in COLLECTION:
                job.stage = "download"
                archive = fetch(kind, folder, base_url=self._service.settings.collection_url, progress=progress)
                job.stage = "unpack"
                progress(0, 0)
                unpack_once(archive, folder / archive.name.removesuffix(".tgz"))
            job.stage = "import"
            progress(0, 0)
            return import_openi(self._library, checkpoint, folder, self._service.sandbox, progress=progress)

        job = self._new(folder)
        return self._begin(job, run)

    def import_uploads(self, files: Iterable[tuple[str, IO[bytes]]]) -> Job:
        """Import files that were sent: films, reports under a film's name, archives.

        They are named by their place in the list, from 00001; of the name that each was sent with, nothing is kept.
        """
        held = SpoolFolder()
        try:
            sources = [_spooled(held, number, name, file) for number, (name, file) in enumerate(files, 1)]
        except BaseException:
            held.close()
            raise

        def run(checkpoint: Checkpoint, progress: Progress) -> Imported:
            imported = FileImport(self._library, checkpoint, self._service.sandbox, progress=progress)
            imported.take(sources)
            return imported.result(Path())

        return self._start(run, held.path, held.close)

    def states(self) -> dict[str, int]:
        """How many imports of this server are in each state."""
        return dict(Counter(str(job.state) for job in list(self._jobs.values())))

    def close(self) -> None:
        """Stop every import; what was stored stays stored, and those that do not stop are not waited for long."""
        until = time.monotonic() + FAREWELL
        for job in self._jobs.values():
            job.stop.set()
        while not all(job.is_over for job in self._jobs.values()) and time.monotonic() < until:
            time.sleep(0.02)

    def _start(
        self,
        run: Callable[[Checkpoint, Progress], Imported],
        folder: Path,
        clean_up: Callable[[], None] = lambda: None,
    ) -> Job:
        return self._begin(self._new(folder), run, clean_up)

    def _new(self, folder: Path) -> Job:
        """A job that nobody has begun; those of before are forgotten, the latest of them last."""
        job = Job(secrets.token_urlsafe(12), places=(str(folder), *self._service.places))
        over = [job_id for job_id, each in self._jobs.items() if each.is_over]
        for job_id in over[: max(0, len(self._jobs) - KEPT)]:
            del self._jobs[job_id]
        self._jobs[job.job_id] = job
        return job

    def _begin(
        self,
        job: Job,
        run: Callable[[Checkpoint, Progress], Imported],
        clean_up: Callable[[], None] = lambda: None,
    ) -> Job:
        threading.Thread(target=self._run, args=(job, run, clean_up), daemon=True).start()
        return job

    def _shown_name(self, path: Path) -> str:
        """An upload by its place; anything else by a name that holds nothing of its path."""
        first = path.parts[0] if path.parts else ""
        return first[:5] if _PLACE.fullmatch(first) else public_name(self._library.secret, str(path))

    def _run(self, job: Job, run: Callable[[Checkpoint, Progress], Imported], clean_up: Callable[[], None]) -> None:
        checkpoint = self._service.checkpoint
        model = cast(Forward, _SharedModel(checkpoint.model, self._service.model_lock))

        def progress(done: int, total: int) -> None:
            job.done, job.total = done, total
            if job.stop.is_set():
                raise Cancelled

        with ExitStack() as stack:
            stack.callback(clean_up)
            stack.enter_context(self._turn)
            if job.stop.is_set():
                job.state = "cancelled"
                return
            job.state = "running"
            try:
                job.result = run(replace(checkpoint, model=model), progress)
                job.refused = tuple((self._shown_name(each.path), each.code) for each in job.result.refused)
                job.state = "done"
            except Cancelled:
                job.state = "cancelled"
            except LingulaError as error:
                job.error = error
            except OSError as error:
                known = error.errno in STORAGE_ERRNOS
                job.error = storage_error(error, "the import cannot go on") if known else _INTERNAL
            except Exception:  # the thread's edge: the job must not seem to run for ever
                job.error = _INTERNAL
            if job.error is not None:
                self._service.notice(job.error)
                job.state = "cancelled" if job.stop.is_set() else "failed"
            note(logging.INFO, "import", state=job.state, code=job.error.code if job.error else "-", done=job.done)


def is_openi(folder: Path) -> bool:
    """Whether a folder holds reports of the Open-i collection: ``eCitation`` files, or the archive of them."""
    return any(_is_openi_report(path) for path in walk(folder))


def _is_openi_report(path: Path) -> bool:
    if path.suffix.lower() != ".xml":
        return _REPORTS.fullmatch(path.name) is not None
    try:
        return b"<eCitation" in read_head(path, 4096)
    except InputError:
        return False


def _spooled(folder: SpoolFolder, number: int, name: str, file: IO[bytes]) -> Source:
    """An upload as a file of ours; of its name the ending of a report or archive, and what lies beside what."""
    ending = Path(name.replace("\0", "")).suffix.lower()
    kept = ending if ending in (*REPORT_ENDINGS, *ARCHIVE_ENDINGS) else ".file" if ending else ""
    path = folder.path / f"{number:05}{kept}"
    try:
        with path.open("wb") as copy:
            shutil.copyfileobj(file, copy)
    except OSError as error:
        raise storage_error(error, "what was sent cannot be kept") from error
    return Source(path, Path(path.name), without_ending(name) or path.name)


_INTERNAL = ServerError("internal", "Something went wrong here.")
