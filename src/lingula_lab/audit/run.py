"""The whole audit of a split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from lingula.labels.vocabulary import Vocabulary
from lingula.openi.collection import Collection
from lingula.openi.loading import ImageReader
from lingula.openi.splits import SPLITS, Split, SplitName
from lingula_lab.audit.collision import Audit, Collision, Parts, across, crossing, parts_of
from lingula_lab.audit.films import FilmRecord, film_collisions, read_films
from lingula_lab.audit.texts import text_collisions
from lingula_lab.data.label_file import LabelFile
from lingula_lab.data.make_split import SplitStudy, sealed, split_study

if TYPE_CHECKING:  # heavy, and an audit of the split alone does without them
    from lingula.library import Library
    from lingula.model.checkpoint import Checkpoint

VOCABULARY = "openi22"


def audit(
    split: Split,
    collection: Collection,
    sandbox: ImageReader,
    *,
    library: Library | None = None,
    claimed: SplitName = "train",
    checkpoint: Checkpoint | None = None,
    labels: LabelFile | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Audit:
    """Look for every collision between the parts of a split.

    Args:
        library: a gallery to look through, which claims to hold the part ``claimed``.
        checkpoint: a model to look into, and to compare with what filled the library.
        labels: the published labels next to the split.
        progress: called with (films read, of how many).
    """
    parts = parts_of(split)
    files = [files for files in collection if files.study_id in parts]
    vocabulary = Vocabulary.load(split.labels.vocabulary if split.labels else VOCABULARY)
    studies = [split_study(each, vocabulary) for each in files]
    absent = sorted(parts.keys() - {study.study_id for study in studies})
    films, unread = read_films(files, sandbox, progress)
    found = [
        *same_studies(split),
        *text_collisions(studies, parts),
        *birth_dates(studies, films, parts),
        *film_collisions(films, parts),
    ]
    if not absent:
        found += edited_labels(split, studies, vocabulary)
    if labels is not None:
        found += edited_label_file(split, labels)
    if library is not None:
        from lingula_lab.audit.library import library_collisions, model_collisions

        found += library_collisions(library, claimed, films, parts)
        if checkpoint is not None:
            found += model_collisions(library, checkpoint.fingerprint)
    if checkpoint is not None and not absent:
        from lingula_lab.audit.checkpoint import checkpoint_collisions

        found += checkpoint_collisions(checkpoint, split, {each.study_id: each for each in files})
    unchecked = _unchecked(split, absent, unread, films, labels)
    return Audit(split.name, split.digest, len(studies), len(films), tuple(found), tuple(unchecked))


def same_studies(split: Split) -> Iterator[Collision]:
    """Ids that are listed more than once."""
    times = Counter(chain.from_iterable(split.ids(name) for name in SPLITS))
    for study_id in (study_id for study_id, count in times.items() if count > 1):
        names = [name for name in SPLITS for listed in split.ids(name) if listed == study_id]
        yield Collision("same_study", (study_id,), f"Listed in {' and in '.join(names)}.")


def birth_dates(studies: Sequence[SplitStudy], films: Sequence[FilmRecord], parts: Parts) -> Iterator[Collision]:
    """Studies whose tables or films give one date of birth: perhaps one patient."""
    given = chain(
        ((study.study_id, study.birth_date) for study in studies), ((film.study_id, film.birth_date) for film in films)
    )
    for _, ids in crossing(given, parts):
        yield Collision("birth_date", ids, f"Equal birth dates in {across(ids, parts)}.")


def edited_labels(split: Split, studies: Sequence[SplitStudy], vocabulary: Vocabulary) -> Iterator[Collision]:
    """The labels are not those the split was sealed with; ``studies`` must be all of its studies."""
    seal, now = split.labels, sealed(split, studies, vocabulary).labels
    if seal and now and seal.sha256 != now.sha256:
        what = f"the vocabulary {seal.vocabulary}" if now.vocabulary_sha256 != seal.vocabulary_sha256 else "the coding"
        yield Collision("labels_edited", (), f"The labels are not those of the sealed split: {what} was edited since.")


def edited_label_file(split: Split, labels: LabelFile) -> Iterator[Collision]:
    """The published labels are not those the split was sealed with."""
    if split.labels and labels.seal != split.labels:
        detail = "The label file beside the split is not the one it was sealed with: it was edited since."
        yield Collision("labels_edited", (), detail)


def _unchecked(
    split: Split, absent: Sequence[str], unread: Sequence[str], films: Sequence[FilmRecord], labels: LabelFile | None
) -> Iterator[str]:
    if absent:
        some = ", ".join(absent[:3])
        yield f"{len(absent)} studies of the split are not in the collection ({some}): labels and thresholds neither."
    if unread:
        yield f"{len(unread)} films could not be read ({', '.join(unread[:3])})."
    if flat := [film.image_id for film in films if not film.thumbnail.any()]:
        yield f"{len(flat)} films are blank ({', '.join(flat[:3])})."
    if not split.labels:
        yield "The split file carries no seal of its labels."
    if labels is None:
        yield "No label file was looked at."
