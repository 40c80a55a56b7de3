"""Store studies: embed, add, a batch a transaction. What becomes of an import, and of a library that stays empty."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lingula.errors import LibraryError, cause
from lingula.library import Entry, Library, Outcome, Refusal, StudyRecord
from lingula.library.identity import public_name
from lingula.model.batch import legible, nothing_read
from lingula.model.checkpoint import Checkpoint
from lingula.model.encode import Vector, embed
from lingula.openi.collection import Refused
from lingula.plain import DISCLAIMER
from lingula.study import Mode, Study

BATCH = 16
"""Studies committed in one transaction."""
PIXELS = 16_000_000
"""Pixels of the films of one transaction, beyond which it takes no further study: they wait in memory, 4 bytes each."""
FILMS = 2
"""Films encoded together: activations take some 50 MB a film, and more at once is not quicker on a processor."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of an import.

    Attributes:
        added, present: studies stored now, and stored before with the same content.
        images: radiographs of the studies added.
        missing: images that reports name and nobody has.
        unreferenced: image files that no report names.
        refused: files and studies that were not accepted, each with its code; paths as seen from the folder imported.
        copies: files that are, byte for byte, another file of the same import.
        unused: columns of a table that were not understood.
    """

    added: int
    present: int
    images: int
    missing: int = 0
    unreferenced: int = 0
    refused: tuple[Refused, ...] = ()
    copies: int = 0
    unused: tuple[str, ...] = ()
    disclaimer: str = DISCLAIMER


@dataclass(frozen=True, slots=True)
class Stored:
    """Studies added, studies that were there with the same content, radiographs of those added."""

    added: int
    present: int
    images: int


def create_library(checkpoint: Checkpoint, url_or_path: str | Path) -> Library:
    """A new library for this checkpoint, or the one that is there if this checkpoint filled it."""
    return _open_or_create(checkpoint, url_or_path)[0]


@contextmanager
def destination(checkpoint: Checkpoint, url_or_path: str | Path) -> Iterator[Library]:
    """The library to import into; one that was made for it and is empty at the end is removed again."""
    library, is_new = _open_or_create(checkpoint, url_or_path)
    try:
        yield library
    finally:
        if is_new and not len(library):
            library.discard()
        else:
            library.close()


def _open_or_create(checkpoint: Checkpoint, url_or_path: str | Path) -> tuple[Library, bool]:
    try:
        return Library.open(url_or_path, model=checkpoint.fingerprint), False
    except LibraryError as error:
        if error.code != "library_missing":
            raise
    made = Library.create(
        url_or_path,
        model=checkpoint.fingerprint,
        vocabulary=checkpoint.vocabulary.digest,
        labels=checkpoint.vocabulary.codes,
        dimension=checkpoint.model.architecture.dimension,
    )
    return made, True


def reencode(
    library: Library, source: Library, checkpoint: Checkpoint, progress: Progress = lambda done, of: None
) -> tuple[Outcome, ...]:
    """Fill a library of this checkpoint from one of another model: previews and reports are encoded, no file is read.

    Labels are the checkpoint's, read from the coding; of a study coded without terms, those that both models know.
    """

    def encode(records: Sequence[StudyRecord]) -> list[tuple[dict[Mode, Vector], tuple[str, ...] | None]]:
        codes, vocabulary = set(checkpoint.vocabulary.codes), checkpoint.vocabulary
        made = embed((record.study() for record in records), checkpoint, FILMS)
        found = []
        for record, (_, vectors) in zip(records, made, strict=True):
            labels = vocabulary.present(record.terms) if record.terms else record.labels
            known = None if labels is None else tuple(label for label in labels if label in codes)
            found.append((vectors, known))
        return found

    return library.copy_reencoded(source, encode, progress)


def store(
    library: Library,
    checkpoint: Checkpoint,
    entries: Iterable[Entry],
    refused: list[Refused],
    told: Callable[[int], None],
) -> Stored:
    """Embed and store.

    Args:
        entries: without embeddings; labels are read from the coding where none are given.
        refused: gets the studies that the library does not take.
        told: called after each transaction with the number of studies in it.
    """
    added = present = images = 0
    for batch in batches(encoded_entries(checkpoint, legible_entries(checkpoint, entries, refused))):
        for outcome, entry in zip(library.add_many(batch), batch, strict=True):
            if outcome.state == "added":
                added, images = added + 1, images + len(entry.study.radiographs)
            elif outcome.state == "present":
                present += 1
            elif outcome.error is not None:
                refused.append(Refused(Path(outcome.study_id), outcome.error.code, outcome.error.message))
        told(len(batch))
    return Stored(added, present, images)


def legible_entries(checkpoint: Checkpoint, entries: Iterable[Entry], refused: list[Refused]) -> Iterator[Entry]:
    """Entries with something that the model can read; the others are added to ``refused``."""
    for entry in entries:
        study = legible(entry.study, checkpoint.tokenizer)
        if study.radiographs or (study.report and not study.report.is_empty):
            yield replace(entry, study=study)
        else:
            refused.append(Refused.because(Path(study.study_id), nothing_read(study)))


def batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """What one transaction takes: at most ``BATCH`` studies, fewer of large films (``PIXELS``)."""
    batch: list[Entry] = []
    pixels = 0
    for entry in entries:
        batch.append(entry)
        pixels += sum(film.pixels.size for film in entry.study.radiographs)
        if len(batch) >= BATCH or pixels >= PIXELS:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def encoded(checkpoint: Checkpoint, studies: Iterable[Study], refused: list[Refused] | None = None) -> Iterator[Entry]:
    """Studies as a library takes them: embedded, coded where somebody coded them. One without a film and without a
    report that the model can read is left out, and added to ``refused``."""
    entries = (Entry(study, {}) for study in studies)
    return encoded_entries(checkpoint, legible_entries(checkpoint, entries, [] if refused is None else refused))


def encoded_entries(checkpoint: Checkpoint, entries: Iterable[Entry]) -> Iterator[Entry]:
    """As ``encoded``, for entries that may have labels already."""
    vocabulary = checkpoint.vocabulary
    for group in _encoded_together(entries):
        studies = [entry.study for entry in group]
        for entry, (study, vectors) in zip(group, embed(studies, checkpoint, len(studies)), strict=True):
            coded = vocabulary.present(study.terms) if study.terms is not None else None
            labels = coded if entry.labels is None else entry.labels
            yield replace(entry, study=study, embeddings=vectors, labels=labels)


def _encoded_together(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Groups of studies with ``FILMS`` films at most, or of one study; of reports alone, ``BATCH``."""
    group: list[Entry] = []
    films = 0
    for entry in entries:
        more = len(entry.study.radiographs)
        if group and (films + more > FILMS or len(group) >= BATCH):
            yield group
            group, films = [], 0
        group.append(entry)
        films += more
    if group:
        yield group


def note_refused(library: Library, refused: Sequence[Refused], root: Path) -> tuple[Refused, ...]:
    """Note in the library what was refused, under names and with words that hold nothing of the files.

    Args:
        root: what was imported.

    Returns:
        The same with paths as seen from ``root``; without the library's own files, where it lies among the films.
    """
    folder = root if root.is_dir() else root.parent
    own = {Path(library.place + ending).absolute() for ending in ("", "-wal", "-shm")}
    refused = [each for each in refused if (folder / each.path).absolute() not in own]
    told = tuple(replace(each, path=_relative(each.path, folder)) for each in refused)
    noted = (Refusal(public_name(library.secret, str(each.path)), each.code, cause(each.code)) for each in told)
    library.refuse_all(noted)
    return told


def _relative(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path
