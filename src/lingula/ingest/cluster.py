"""Many machines: a collection is read and encoded by the workers of an existing Ray cluster, into one library.

The workers run what an import runs (``openi.readable``, ``batches.encoded``, ``library.rows.from_entry``), 16 studies
at a time; the process that started them stores what they hand back, a transaction a batch, and remembers nothing. So a
worker that dies is replaced and its batch done again (Ray's ``max_restarts`` and ``max_task_retries``), and a run that
was stopped goes on with the studies that the library lacks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from lingula.errors import InputError, ModelError
from lingula.ingest.batches import BATCH, Imported, Progress, encoded, note_refused
from lingula.ingest.openi import readable
from lingula.library import Library
from lingula.library.record import LibraryDescription, study_digest
from lingula.library.rows import StudyRows, from_entry
from lingula.openi import scan
from lingula.openi.collection import Refused, StudyFiles
from lingula.optional import optional

IN_FLIGHT = 2  # batches a worker is given at once, so that it never waits for the next


class Encoder:
    """One worker: a model, and a child process that reads files.

    Args:
        model: checkpoint folder or shipped name, as found on the worker's machine.
        about, secret: of the library the studies are for.

    Raises:
        ModelError: ``model_mismatch`` when the worker's machine has another model under this name.
    """

    def __init__(self, model: str, about: LibraryDescription, secret: bytes) -> None:
        from lingula.model.checkpoint import load_checkpoint
        from lingula.reading.sandbox import Sandbox

        self._checkpoint, self._about, self._secret = load_checkpoint(model, threads=1), about, secret
        if self._checkpoint.fingerprint != about.model:
            message = f"The library was filled by model {about.model}, {model} is {self._checkpoint.fingerprint} here."
            raise ModelError("model_mismatch", message, "Put the same checkpoint on every machine.")
        self._sandbox = ExitStack().enter_context(Sandbox(1))  # open as long as the worker lives

    def encode(self, files: Sequence[StudyFiles]) -> tuple[list[StudyRows], list[Refused]]:
        """The rows of these studies, and what could not be read of them."""
        refused: list[Refused] = []
        entries = encoded(self._checkpoint, readable(files, self._sandbox, refused), refused)
        laid_out = [from_entry(one, study_digest(one.study), self._about, self._secret) for one in entries]
        return laid_out, refused


def encode_openi(
    library: Library,
    model: str,
    root: Path,
    *,
    address: str,
    workers: int | None = None,
    progress: Progress = lambda done, of: None,
) -> Imported:
    """Import an Open-i collection with the workers of a Ray cluster; studies already stored are passed over.

    Args:
        model: checkpoint folder or shipped name; lingula, the checkpoint and the collection are found under the same
            paths on every machine.
        root: see ``lingula.openi.scan``.
        address: of the cluster (``ray://head:10001``, ``auto``); ``local`` starts one on this machine.
        workers: how many; by default one for each processor of the cluster.
        progress: called with (studies done, of how many).

    Raises:
        InputError: ``bad_request`` when ray is not installed or no cluster answers.
    """
    ray = optional("ray", "cluster", "A cluster")
    collection = scan(root)
    known = set(library.ids())
    todo = [files for files in collection if files.study_id not in known]
    batches = [todo[start : start + BATCH] for start in range(0, len(todo), BATCH)]
    refused = list(collection.left_out)
    present = done = len(collection.studies) - len(todo)
    added = images = 0
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    try:
        ray.init(address=address, include_dashboard=None if address != "local" else False, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError("bad_request", f"no Ray cluster at {address}: {error}", "Start one with ray start.") from error
    try:
        count = min(len(batches), workers or max(1, int(ray.cluster_resources().get("CPU", 1))))
        made = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1)(Encoder)
        pool = [made.remote(model, library.about, library.secret) for _ in range(count)]
        waiting = iter(batches)
        running = {worker.encode.remote(batch): (worker, len(batch)) for _ in range(IN_FLIGHT)
                   for worker, batch in zip(pool, waiting, strict=False)}  # fmt: skip
        while running:
            (ready,), _ = ray.wait(list(running), num_returns=1)
            worker, size = running.pop(ready)
            laid_out, failed = ray.get(ready)
            if (batch := next(waiting, None)) is not None:
                running[worker.encode.remote(batch)] = worker, len(batch)
            for outcome, study in zip(library.take(laid_out), laid_out, strict=True):
                if outcome.state == "added":
                    added, images = added + 1, images + len(study.radiographs)
                elif outcome.error is not None:
                    refused.append(Refused(Path(outcome.study_id), outcome.error.code, outcome.error.message))
            refused += failed
            done += size
            progress(done, len(collection.studies))
    except ray.exceptions.RayError as error:
        told = str(error).strip().splitlines()[-1]
        hint = "What was stored stays stored; the same command goes on from there."
        raise InputError("bad_request", f"a worker of {address} failed: {told}", hint) from error
    finally:
        ray.shutdown()
    missing = sum(len(files.missing) for files in collection)
    noted = note_refused(library, refused, root)
    return Imported(added, present, images, missing, len(collection.unreferenced), noted)
