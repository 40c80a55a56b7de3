"""Fill a library: read, embed, store, a batch a transaction. What cannot be read is listed with its code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lingula.errors import InputError
from lingula.library import Entry, Library
from lingula.model.checkpoint import Checkpoint
from lingula.model.encode import embed
from lingula.model.view_classifier import with_views
from lingula.openi import load_many, scan
from lingula.openi.collection import Refused, StudyFiles
from lingula.reading.bounded_io import read_head
from lingula.reading.image_file import HEAD, sniff
from lingula.reading.sandbox import Sandbox
from lingula.reading.study_reader import read_study
from lingula.study import Study

BATCH = 16
"""Studies encoded together and committed in one transaction."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of an import.

    Attributes:
        added, present: studies stored now, and stored before with the same content.
        images: radiographs of the studies added.
        missing: images that reports name and nobody has.
        unreferenced: image files that no report names.
        refused: files and studies that were not accepted, each with its code.
    """

    added: int
    present: int
    images: int
    missing: int
    unreferenced: int
    refused: tuple[Refused, ...]


Progress = Callable[[int, int], None]


def create_library(checkpoint: Checkpoint, url_or_path: str | Path) -> Library:
    """A new library for this checkpoint, or the one that is there if this checkpoint filled it."""
    from lingula.errors import LibraryError

    try:
        return Library.open(url_or_path, model=checkpoint.fingerprint)
    except LibraryError as error:
        if error.code != "library_missing":
            raise
    return Library.create(
        url_or_path,
        model=checkpoint.fingerprint,
        vocabulary=checkpoint.vocabulary.digest,
        labels=checkpoint.vocabulary.codes,
        dimension=checkpoint.model.architecture.dimension,
    )


def import_openi(
    library: Library,
    checkpoint: Checkpoint,
    root: Path,
    sandbox: Sandbox,
    *,
    only: frozenset[str] | None = None,
    progress: Progress = lambda done, of: None,
) -> Imported:
    """Import an Open-i collection; studies already stored are not read again.

    Args:
        root: see ``lingula.openi.scan``.
        only: study ids to import; by default all.
        progress: called with (studies done, of how many).
    """
    collection = scan(root, sandbox=sandbox)
    known = set(library.ids())
    wanted = [files for files in collection if only is None or files.study_id in only]
    todo = [files for files in wanted if files.study_id not in known]
    refused = list(collection.refused)
    studies = readable(todo, sandbox, refused)
    added, images = _store(library, checkpoint, studies, refused, len(wanted) - len(todo), len(wanted), progress)
    for entry in refused:
        library.refuse(str(entry.path), entry.code, entry.message)
    missing = sum(len(files.missing) for files in wanted)
    present = len(wanted) - len(todo)
    return Imported(added, present, images, missing, len(collection.unreferenced), tuple(refused))


def import_files(
    library: Library,
    checkpoint: Checkpoint,
    root: Path,
    sandbox: Sandbox,
    *,
    progress: Progress = lambda done, of: None,
) -> Imported:
    """Import a folder of radiographs: DICOM files grouped by Study Instance UID, each picture a study of its own."""
    refused: list[Refused] = []
    groups: dict[str, list[Path]] = {}
    files = sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else [root]
    for path in files:
        try:
            if sniff(read_head(path, HEAD), path.name) in ("xml", "text"):
                raise InputError("unsupported_format", f"{path.name} is a report; a folder import takes radiographs.")
            uid = sandbox.read_file(path).study_uid
            groups.setdefault(uid or f"file:{path}", []).append(path)
        except InputError as error:
            refused.append(Refused.because(path, error))

    def studies() -> Iterator[Study]:
        for paths in groups.values():
            try:
                yield read_study(paths, sandbox=sandbox)
            except InputError as error:
                refused.extend(Refused.because(path, error) for path in paths)

    added, images = _store(library, checkpoint, studies(), refused, 0, len(groups), progress)
    for entry in refused:
        library.refuse(str(entry.path), entry.code, entry.message)
    return Imported(added, len(groups) - added, images, 0, 0, tuple(refused))


def _with_something(studies: Iterable[Study], refused: list[Refused]) -> Iterator[Study]:
    for study in studies:
        if study.radiographs or (study.report and not study.report.is_empty):
            yield study
        else:
            refused.append(Refused(Path(study.study_id), "not_a_report", "Neither a readable image nor report text."))


def _store(
    library: Library,
    checkpoint: Checkpoint,
    studies: Iterable[Study],
    refused: list[Refused],
    done: int,
    total: int,
    progress: Progress,
) -> tuple[int, int]:
    """Embed and store; (studies added, images of these)."""
    added = images = 0
    remaining = encoded(checkpoint, studies)
    while entries := list(islice(remaining, BATCH)):
        for outcome, entry in zip(library.add_many(entries), entries, strict=True):
            if outcome.state == "added":
                added, images = added + 1, images + len(entry.study.radiographs)
            elif outcome.error is not None:
                refused.append(Refused(Path(outcome.study_id), outcome.error.code, outcome.error.message))
        done += len(entries)
        progress(done, total)
    return added, images


def encoded(checkpoint: Checkpoint, studies: Iterable[Study]) -> Iterator[Entry]:
    """Studies as a library takes them: views named, embedded ``BATCH`` at a time, coded where somebody coded them."""
    vocabulary = checkpoint.vocabulary
    for study, vectors in embed(checkpoint, (with_views(study) for study in studies), BATCH):
        yield Entry(study, vectors, vocabulary.present(study.terms) if study.terms is not None else None)


def readable(files: Iterable[StudyFiles], sandbox: Sandbox, refused: list[Refused]) -> Iterator[Study]:
    """The studies of a collection that have something to be read; what has not is added to ``refused``."""
    return _with_something(load_many(files, sandbox, on_refused=refused.append), refused)
