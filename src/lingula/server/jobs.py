"""Imports that go on while the page is used: progress to follow, and a way to stop them."""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lingula.errors import InputError, LingulaError, ServerError
from lingula.ingest.ingest import Imported, import_files, import_openi
from lingula.library import Library
from lingula.server.service import ENDINGS, Desk
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
                {"name": each.path.name, "code": each.code, "message": each.message} for each in found.refused[:500]
            ] if found else [],
            "error": {"code": self.error.code, "message": self.error.message} if self.error else None,
        }  # fmt: skip


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
        held = tempfile.TemporaryDirectory(prefix="lingula-")
        for number, (name, data) in enumerate(files, 1):
            ending = Path(name).suffix.lower()
            (Path(held.name) / f"{number:05}{ending if ending in ENDINGS else '.file'}").write_bytes(data)
        return self._start(Path(held.name), held)

    def _start(self, folder: Path, held: tempfile.TemporaryDirectory[str] | None) -> Job:
        job = Job(secrets.token_urlsafe(12))
        over = [job_id for job_id, each in self._jobs.items() if each.is_over]
        for job_id in over[: max(0, len(self._jobs) - KEPT)]:
            del self._jobs[job_id]
        self._jobs[job.job_id] = job
        threading.Thread(target=self._run, args=(job, folder, held), daemon=True).start()
        return job

    def _run(self, job: Job, folder: Path, held: tempfile.TemporaryDirectory[str] | None) -> None:
        lock = self._desk.model_lock

        def progress(done: int, total: int) -> None:
            """Between two batches the model is lent to whoever waits for it."""
            job.done, job.total = done, total
            lock.release()
            time.sleep(0.01)
            lock.acquire()
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
            run = import_openi if held is None and any(folder.rglob("*.xml")) else import_files
            try:
                with lock:
                    job.result = run(
                        self._library, self._desk.checkpoint, folder, self._desk.sandbox, progress=progress
                    )
                job.state = "done"
            except Cancelled:
                job.state = "cancelled"
            except LingulaError as error:
                job.error, job.state = error, "failed"
            except Exception:  # the thread's edge: the job must not seem to run for ever
                job.error, job.state = ServerError("internal", "Something went wrong here."), "failed"
