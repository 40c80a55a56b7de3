"""Imports that go on while the page is used: progress to follow, and a way to stop them."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

from lingula.errors import STORAGE_ERRNOS, InputError, LingulaError, ServerError, storage_error
from lingula.ingest.ingest import Imported, import_files, import_openi
from lingula.library import Library
from lingula.model.study_model import StudyModel
from lingula.server.log import note
from lingula.server.redaction import without_paths
from lingula.server.service import ENDINGS, FAREWELL, Desk
from lingula.server.spool import SpoolFolder
from lingula.study import DISCLAIMER

State = Literal["waiting", "running", "done", "failed", "cancelled"]
KEPT = 20


class Cancelled(Exception):
    """Somebody stopped the import; what was stored stays stored."""


@dataclass(slots=True, eq=False)
class Job:
    """One import."""

    job_id: str
    state: State = "waiting"
    done: int = 0
    total: int = 0
    result: Imported | None = None
    error: LingulaError | None = None
    places: tuple[str, ...] = ()
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    def to_json(self) -> dict[str, Any]:
        found = self.result
        return {
            "disclaimer": DISCLAIMER,
            "job_id": self.job_id,
            "state": self.state,
            "done": self.done,
            "total": self.total,
            "added": found.added if found else 0,
            "present": found.present if found else 0,
            "refused": [
                {"name": each.path.name, "code": each.code, "message": without_paths(each.message, self.places)}
                for each in found.refused[:500]
            ] if found else [],
            "error": {"code": self.error.code, "message": without_paths(self.error.message, self.places)}
            if self.error else None,
        }  # fmt: skip


class _SharedModel:
    """The model as an import uses it: taken for one batch, so that whoever asks waits for no file and no database."""

    def __init__(self, model: StudyModel, lock: threading.Lock) -> None:
        self._model, self._lock = model, lock

    def __call__(self, *given: Any, **options: Any) -> Any:
        with self._lock:
            return self._model(*given, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


class Jobs:
    """The imports of one server, one after the other."""

    def __init__(self, desk: Desk, library: Library) -> None:
        self._desk, self._library = desk, library
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
        return self._start(folder, None)

    def import_uploads(self, files: Sequence[tuple[str, bytes]]) -> Job:
        """Import files that were sent; they are named by their place in the list, from 1."""
        held = SpoolFolder()
        try:
            for number, (name, data) in enumerate(files, 1):
                ending = Path(name.replace("\0", "")).suffix.lower()
                held.add(f"{number:05}{ending if ending in ENDINGS else '.file'}", data)
        except BaseException:
            held.close()
            raise
        return self._start(held.path, held)

    def close(self) -> None:
        """Stop every import; what was stored stays stored, and those that do not stop are not waited for long."""
        until = time.monotonic() + FAREWELL
        for job in self._jobs.values():
            job.stop.set()
        while not all(job.is_over for job in self._jobs.values()) and time.monotonic() < until:
            time.sleep(0.02)

    def _start(self, folder: Path, held: SpoolFolder | None) -> Job:
        job = Job(secrets.token_urlsafe(12), places=(str(folder), *self._desk.places))
        over = [job_id for job_id, each in self._jobs.items() if each.is_over]
        for job_id in over[: max(0, len(self._jobs) - KEPT)]:
            del self._jobs[job_id]
        self._jobs[job.job_id] = job
        threading.Thread(target=self._run, args=(job, folder, held), daemon=True).start()
        return job

    def _run(self, job: Job, folder: Path, held: SpoolFolder | None) -> None:
        checkpoint = self._desk.checkpoint
        model = cast(StudyModel, _SharedModel(checkpoint.model, self._desk.model_lock))

        def progress(done: int, total: int) -> None:
            job.done, job.total = done, total
            if job.stop.is_set():
                raise Cancelled

        with ExitStack() as stack:
            if held is not None:
                stack.enter_context(held)
            stack.enter_context(self._turn)
            if job.stop.is_set():
                job.state = "cancelled"
                return
            job.state = "running"
            try:
                run = import_openi if held is None and any(folder.rglob("*.xml")) else import_files
                shared = replace(checkpoint, model=model)
                job.result = run(self._library, shared, folder, self._desk.sandbox, progress=progress)
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
                self._desk.notice(job.error)
                job.state = "cancelled" if job.stop.is_set() else "failed"
            note(logging.INFO, "import", state=job.state, code=job.error.code if job.error else "-", done=job.done)


_INTERNAL = ServerError("internal", "Something went wrong here.")
