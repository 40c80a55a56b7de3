"""Is a library sound? The checks behind ``Library.verify``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from lingula.errors import LibraryError
from lingula.labels.assertions import read_assertions
from lingula.library import preview
from lingula.library.record import content_digest
from lingula.library.store import BATCH, Store
from lingula.library.vectors import Gallery
from lingula.study import MODES, Mode


def problems(store: Store, gallery_of: Callable[[Mode], Gallery]) -> tuple[str, ...]:
    """One sentence per problem; empty when records, previews, vectors and index agree.

    Args:
        gallery_of: what is searched, by mode.
    """
    found: list[str] = []
    checks = (store.problems, lambda: _records(store), lambda: _assertions(store), lambda: _vectors(store, gallery_of))
    for check in checks:
        try:
            found.extend(check())
        except LibraryError as error:
            found.append(error.message)
    return tuple(found)


def _records(store: Store) -> Iterator[str]:
    """Each study still has the content it was stored with, and previews that can be drawn."""
    for study_id in store.ids():
        record = store.record(study_id)
        if record is None:
            continue
        images = tuple((image.image_id, image.digest) for image in record.radiographs)
        if content_digest(study_id, record.report, record.terms, images) != record.digest:
            yield f"study {study_id} is not what was stored"
        yield from (
            f"the preview of {image.image_id} is damaged"
            for image in record.radiographs
            if not preview.is_intact(image.png)
        )


def _assertions(store: Store) -> Iterator[str]:
    """Each report's assertions are those that are read in it today, unless other rules read them."""
    if store.outdated():
        return
    for start in range(0, len(ids := store.ids()), BATCH):
        some = ids[start : start + BATCH]
        stored = Store.assertions(store, some)
        for study_id, summary in Store.summaries(store, some).items():
            if stored[study_id] != (read_assertions(summary.report) if summary.report else ()):
                yield f"the assertions of {study_id} are not those of its report: reindex"


def _vectors(store: Store, gallery_of: Callable[[Mode], Gallery]) -> Iterator[str]:
    """Each stored vector is the one that was stored, and what is searched is what is stored."""
    for mode in MODES:
        yield from (f"the {mode} embedding of {study_id} is not what was stored" for study_id in store.altered(mode))
        gallery = gallery_of(mode).whole()
        stored = Gallery.empty(store.about.dimension).merged(*store.vectors_since(mode, 0, gallery.revision))
        if gallery.ids != stored.ids:
            differing = len(set(gallery.ids) ^ set(stored.ids))
            yield f"the {mode} index and the records differ in {differing} studies"
        elif not np.array_equal(gallery.vectors, stored.vectors):
            yield f"the {mode} index and the records hold different vectors"
