"""Import the Open-i collection: reports with their films, under the collection's own identifiers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import tee
from pathlib import Path

from lingula.deidentification.reports import header_names, without_identifiers
from lingula.errors import InputError
from lingula.ingest.batches import Imported, Progress, note_refused, store
from lingula.ingest.burned_in import BurnedIn, reader_for
from lingula.library import Entry, Library
from lingula.model.batch import nothing_read
from lingula.model.checkpoint import Checkpoint
from lingula.openi import load_many, scan
from lingula.openi.collection import Refused, StudyFiles
from lingula.openi.published import is_published
from lingula.reading.sandbox import Sandbox
from lingula.study import Study


def import_openi(
    library: Library,
    checkpoint: Checkpoint,
    root: Path,
    sandbox: Sandbox,
    *,
    only: frozenset[str] | None = None,
    burned_in: BurnedIn = "keep",
    progress: Progress = lambda done, of: None,
) -> Imported:
    """Import an Open-i collection; studies already stored are not read again.

    Args:
        root: see ``lingula.openi.scan``.
        only: study ids to import; by default all.
        burned_in: text in pictures is kept; films whose header tells of it are left out; or it is found and covered.
        progress: called with (studies done, of how many).
    """
    collection = scan(root)
    known = set(library.ids())
    asked = [files for files in collection if only is None or files.study_id in only]
    todo = [files for files in asked if files.study_id not in known]
    present = done = len(asked) - len(todo)
    refused = list(collection.left_out)

    def told(count: int) -> None:
        nonlocal done
        done += count
        progress(done, len(asked))

    studies = readable(todo, sandbox, refused, burned_in=burned_in)
    stored = store(library, checkpoint, (Entry(study, {}) for study in studies), refused, told)
    missing = sum(len(files.missing) for files in asked)
    noted = note_refused(library, refused, root)
    return Imported(
        stored.added,
        present + stored.present,
        stored.images,
        missing=missing,
        unreferenced=len(collection.unreferenced),
        refused=noted,
        copies=len(collection.duplicates),
    )


def readable(
    files: Iterable[StudyFiles], sandbox: Sandbox, refused: list[Refused], *, burned_in: BurnedIn = "keep"
) -> Iterator[Study]:
    """The studies of a collection that have something to be read; what has not is added to ``refused``."""
    reader = reader_for(sandbox, burned_in)
    files, named = tee(files)
    studies = load_many(files, reader, on_refused=refused.append)
    return _with_something(map(partial(_guarded, sandbox), named, studies), refused)


def _guarded(sandbox: Sandbox, files: StudyFiles, study: Study) -> Study:
    """A study without names in its report; the published collection has none."""
    if study.report is None or is_published(study.study_id):
        return study
    return without_identifiers(study, header_names((image.path for image in files.images), sandbox))


def _with_something(studies: Iterable[Study], refused: list[Refused]) -> Iterator[Study]:
    for study in studies:
        if study.radiographs or (study.report and not study.report.is_empty):
            yield study
        else:
            refused.append(Refused.because(Path(study.study_id), _nothing(study)))


def _nothing(study: Study) -> InputError:
    if study.report is not None or any(notice.code == "report_empty" for notice in study.notices):
        return nothing_read(study)
    return InputError("not_a_report", "Neither a readable image nor report text.")
