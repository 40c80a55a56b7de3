"""Search by what is inside a box on a film: which films show the same there, or at the mirrored place?"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError, LibraryError, Notice
from lingula.library import Library, StudyRecord
from lingula.library.record import image_digest
from lingula.model.checkpoint import Checkpoint
from lingula.openi.published import published
from lingula.plain import DISCLAIMER, FLAT, HIDDEN, JsonAnswer, named
from lingula.reading.preprocess import Letterbox, to_input
from lingula.retrieval import Query, Searched
from lingula.retrieval.judge import require_model
from lingula.retrieval.ranking import snippet
from lingula.retrieval.region_index import Basis, FilmKey, Patches, PatchFolder, forget_patches
from lingula.study import MODES, VIEWS, Neighbour, Radiograph, Study, View
from lingula.user_cache import user_cache

Progress = Callable[[int, int], None]
BATCH = 16
"""Films encoded together."""
SHARD = 256
"""Films of one file; so many at most are encoded again after an interruption."""
SAMPLE = 400
"""Films from which the basis is learned, spread over the library."""


@dataclass(frozen=True, slots=True)
class Place:
    """A box on a film of a study: ``film`` is its row, the box in the pixels of the film as it was stored or given."""

    film: int
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class FilmBox:
    """A box with the size of the film it is on, in whose pixels it is given; ``image_id`` of a film asked with."""

    place: Place = field(metadata=FLAT)
    rows: int
    columns: int
    image_id: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RegionFound:
    """One answer: a study, its film that shows it best, and where.

    Attributes:
        rows, columns: of that film as it was imported, the pixels of ``place``; the library's preview of it is smaller.
        mirrored: whether it is seen on the other side.
        picture: where a server shows the library's preview; None elsewhere.
    """

    neighbour: Neighbour = field(metadata=FLAT)
    place: Place = field(metadata=HIDDEN)
    rows: int = field(metadata=HIDDEN)
    columns: int = field(metadata=HIDDEN)
    mirrored: bool
    picture: str | None = None

    SHOWN: ClassVar = {"region": "region"}

    @property
    def region(self) -> FilmBox:
        return FilmBox(self.place, self.rows, self.columns)


@dataclass(frozen=True, slots=True, eq=False)
class RegionAnswer(JsonAnswer):
    """The answer to a box.

    Attributes:
        study, place: what was asked. films: how many films of the same view were searched.
    """

    study: Study = field(metadata=HIDDEN)
    place: Place = field(metadata=HIDDEN)
    found: tuple[RegionFound, ...] = field(metadata=named("neighbours"))
    films: int = field(metadata=named("films_searched"))
    mirrored: bool = field(metadata=named("mirrored_allowed"))
    notices: tuple[Notice, ...] = field(metadata=named("warnings"))
    model: str
    library: str
    seconds: float

    SHOWN: ClassVar = {name: name for name in ("disclaimer", "study_id", "region")}

    @property
    def disclaimer(self) -> str:
        return DISCLAIMER

    @property
    def study_id(self) -> str:
        return self.study.study_id

    @property
    def region(self) -> FilmBox:
        film = self.study.radiographs[self.place.film]
        rows, columns = film.pixels.shape
        return FilmBox(self.place, rows, columns, film.image_id)


def search_region(
    study: Study,
    place: Place,
    checkpoint: Checkpoint,
    library: Searched,
    *,
    mirrored: bool = False,
    k: int = 5,
    exclude: Collection[str] = (),
    patches: Patches | None = None,
    progress: Progress = lambda done, of: None,
) -> RegionAnswer:
    """Studies whose films show, at the same place, what a box on a film shows.

    Films of the same view are compared by their patches inside the box (``Patches.match`` says how); a study answers
    with its best film, by ``(-score, study_id)``. The study asked with, and films of the very same file, never answer.

    Args:
        place: in the pixels of ``study.radiographs[place.film]``.
        mirrored: whether the mirrored place on the other side may answer, too: the film is mirrored and asked again.
        patches: of the library, as ``library_patches`` gives; by default these are read, and what is missing is made.
        progress: of that, called with (films done, of how many).

    Raises:
        InputError: ``bad_request`` for a film the study lacks, a box outside the film, or k outside 1 to 100.
        LibraryError: ``library_missing`` for a gallery without pictures, ``library_empty`` for a library without films
            of that view. ModelError: ``model_mismatch``.
    """
    started = time.perf_counter()
    require_model(library, checkpoint)
    if not 1 <= k <= 100:
        raise InputError("bad_request", f"k is {k}.", "From 1 to 100.")
    check_place(study, place)
    with_pictures = _with_pictures(library)
    film = study.radiographs[place.film]
    patches = patches or library_patches(checkpoint, library, progress)
    rows = _rows(patches, film, {*library.ids_of(study), *exclude})
    asked = [(film, place)]
    if mirrored:
        flipped = replace(film, pixels=np.ascontiguousarray(film.pixels[:, ::-1]))
        asked.append((flipped, replace(place, x=film.pixels.shape[1] - place.x - place.width)))
    tried = [(*_matched(checkpoint, patches, one, where, rows), where) for one, where in asked]
    ranking: dict[str, tuple[float, int, int]] = {}  # study: score, row of `rows`, which of `tried`
    for way, (scores, _, _) in enumerate(tried):
        for at, score in enumerate(scores):
            study_id = patches.keys[rows[at]].study_id
            if study_id not in ranking or score > ranking[study_id][0]:
                ranking[study_id] = (float(score), at, way)
    best = sorted(ranking.items(), key=lambda item: (-item[1][0], item[0]))[:k]
    found = []
    grid, size = checkpoint.model.architecture.grid, checkpoint.model.architecture.preprocessing.size
    for rank, (study_id, (score, at, way)) in enumerate(best, 1):
        record, row = with_pictures.get(study_id), patches.keys[rows[at]].row
        shape = record.radiographs[row].rows, record.radiographs[row].columns
        one, where = asked[way]
        moved = _on_input(where, Letterbox.of(one.pixels, size)) + np.tile(tried[way][1][at] * size / grid, 2)
        box = _on_film(moved, record.radiographs[row].radiograph().pixels, shape, size)
        neighbour = _neighbour(with_pictures, record, rank, score)
        found.append(RegionFound(neighbour, Place(row, *box), *shape, way == 1))
    return RegionAnswer(
        study, place, tuple(found), len(rows), mirrored, study.all_notices, checkpoint.fingerprint,
        library.fingerprint, time.perf_counter() - started,
    )  # fmt: skip


def library_patches(
    checkpoint: Checkpoint,
    library: Searched,
    progress: Progress = lambda done, of: None,
    *,
    folder: Path | None = None,
) -> Patches:
    """The patches of every film of a library; those not kept yet are made and kept, and what was stopped goes on.

    They lie beside the library's file (``library.sqlite-patches``), of a library in a server in the user's cache.

    Args:
        progress: called with (films done, of how many) while some are made.

    Raises:
        LibraryError: ``library_missing`` for a gallery without pictures, ``library_empty`` for a library without films.
        ModelError: ``model_mismatch``.
    """
    require_model(library, checkpoint)
    library = _with_pictures(library)
    films = _films(library)
    if not films:
        raise LibraryError("library_empty", "the library holds no film to look in.", "Import films first.")
    keys = list(films)
    kept = PatchFolder(folder or patch_folder(library), checkpoint.fingerprint)
    basis = kept.basis()
    if basis is None or 2 * basis.films < min(SAMPLE, len(keys)):
        progress(0, len(keys))
        sample = keys[:: -(-len(keys) // SAMPLE)]
        features = np.concatenate([f.astype(np.float16) for _, f in _encoded(checkpoint, library, sample, films)])
        basis = Basis.learned(features, _numbers(films, sample), len(VIEWS))
        kept.begin(basis)
        del features
    known = kept.read(basis)
    missing = [key for key in keys if key not in known]
    for start in range(0, len(missing), SHARD):
        some, done = missing[start : start + SHARD], []
        for part, features in _encoded(checkpoint, library, some, films):
            done.append(basis.reduced(features, _numbers(films, part)))
            progress(len(keys) - len(missing) + start + sum(map(len, done)), len(keys))
        vectors = np.concatenate(done)
        kept.add(basis, some, vectors)
        known |= dict(zip(some, vectors, strict=True))
    progress(len(keys), len(keys))
    return Patches(tuple(keys), _numbers(films, keys), np.stack([known[key] for key in keys]), basis)


def _films(library: Library) -> dict[FilmKey, View]:
    """Every film of the library with its view, by study and row."""
    summaries = library.summaries(library.ids())
    return {
        FilmKey(study_id, row, image.digest): image.view
        for study_id in sorted(summaries)
        for row, image in enumerate(summaries[study_id].images)
    }


def _numbers(films: dict[FilmKey, View], keys: Sequence[FilmKey]) -> npt.NDArray[np.int64]:
    return np.array([VIEWS.index(films[key]) for key in keys], np.int64)


def _encoded(
    checkpoint: Checkpoint, library: Library, keys: Sequence[FilmKey], films: dict[FilmKey, View]
) -> Iterator[tuple[list[FilmKey], npt.NDArray[np.float32]]]:
    """Some films at a time with their features (n, P, C)."""

    def pictures() -> Iterator[tuple[FilmKey, Radiograph]]:
        record: StudyRecord | None = None
        for key in keys:
            if record is None or record.study_id != key.study_id:
                record = library.get(key.study_id)
            yield key, record.radiographs[key.row].radiograph()

    remaining = pictures()
    while part := list(islice(remaining, BATCH)):
        yield [key for key, _ in part], features(checkpoint, [film for _, film in part])


def features(checkpoint: Checkpoint, films: Sequence[Radiograph]) -> npt.NDArray[np.float32]:
    """(N, P, C): how each patch of each film looks to the image encoder from near, row by row."""
    model = checkpoint.model
    inputs = np.stack([to_input(film, model.architecture.preprocessing) for film in films])
    grid = model.details(inputs[:, None])  # (N, C, grid, grid)
    return np.ascontiguousarray(grid.reshape(*grid.shape[:2], -1).transpose(0, 2, 1))


def _matched(
    checkpoint: Checkpoint, patches: Patches, film: Radiograph, place: Place, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    a = checkpoint.model.architecture
    view = np.array([VIEWS.index(film.view)])
    query = patches.basis.reduced(features(checkpoint, [film]), view)[0]
    return patches.match(query, shares(place, film.pixels, a.preprocessing.size, a.grid), rows)


def shares(place: Place, film: npt.NDArray[np.float32], size: int, grid: int) -> npt.NDArray[np.float32]:
    """(grid, grid): the share of a box of a film (rows, columns) in each patch of the input; they sum to 1."""
    y0, x0, y1, x1 = _on_input(place, Letterbox.of(film, size))
    edges = np.arange(grid + 1) * size / grid
    across, down = (
        np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None)
        for low, high in ((x0, x1), (y0, y1))
    )
    table = down[:, None] * across
    return np.asarray(table / table.sum(), np.float32)


def _on_input(place: Place, box: Letterbox) -> npt.NDArray[np.float64]:
    """Edges (top, left, bottom, right) of a box of the film on the square input; of what lies in a border, its edge."""
    start, end = (box.to_input(place.y + i * place.height, place.x + i * place.width) for i in (0, 1))
    first = np.array([box.top, box.left], np.float64)
    last = first + np.array([box.height, box.width])
    return np.concatenate([np.clip(start, first, last - 1), np.clip(end, first + 1, last)])


def _on_film(
    edges: npt.NDArray[np.float64], pixels: npt.NDArray[np.float32], shape: tuple[int, int], size: int
) -> tuple[int, int, int, int]:
    """x, y, width, height of edges (top, left, bottom, right) of the input on a film (rows, columns); a pixel at least.

    Args:
        pixels: of the film, at any resolution. shape: of the film in full.
    """
    box, scale = Letterbox.of(pixels, size), np.divide(shape, pixels.shape)
    start, end = (np.rint(box.to_film(*edges[i : i + 2]) * scale).astype(int) for i in (0, 2))
    start = np.clip(start, 0, np.subtract(shape, 1))
    height, width = np.maximum(np.minimum(end, shape) - start, 1)
    return int(start[1]), int(start[0]), int(width), int(height)


def check_place(study: Study, place: Place) -> None:
    """Raise InputError ``bad_request`` unless the box lies on a film of the study."""
    count = len(study.radiographs)
    if not 0 <= place.film < count:
        raise InputError("bad_request", f"the study has no film {place.film}: it has {count}.", "Films count from 0.")
    rows, columns = study.radiographs[place.film].pixels.shape
    right, bottom = place.x + place.width, place.y + place.height
    if place.width < 1 or place.height < 1 or place.x < 0 or place.y < 0 or right > columns or bottom > rows:
        box = f"{place.x},{place.y},{place.width},{place.height}"
        hint = "x and y of its upper left corner, width and height, in pixels of the film."
        raise InputError("bad_request", f"the box {box} is not inside the film of {columns} x {rows} pixels.", hint)


def _with_pictures(library: Searched) -> Library:
    if not isinstance(library, Library):
        message = "Films are searched by a box only where their pictures are, and the gallery that ships has none."
        raise LibraryError("library_missing", message, "Import a collection: lingula fetch openi.")
    return library


def _rows(patches: Patches, film: Radiograph, exclude: Collection[str]) -> npt.NDArray[np.int64]:
    """Films of the same view, but those of the studies left out and of the very same file."""
    view, digest = VIEWS.index(film.view), image_digest(film)
    same = [
        (film.view == "unknown" or number == view) and key.study_id not in exclude and key.digest != digest
        for key, number in zip(patches.keys, patches.views, strict=True)
    ]
    if not any(same):
        raise LibraryError("library_empty", f"no other {film.view} film is in the library.", "Import films first.")
    return np.flatnonzero(same)


def _neighbour(library: Library, record: StudyRecord, rank: int, score: float) -> Neighbour:
    said = library.assertions([record.study_id])[record.study_id]
    images = tuple(stored.image_id for stored in record.radiographs)
    telling = snippet(record.report, said, Query()) if record.report else None
    return Neighbour(
        rank, record.study_id, score, record.labels or (), record.report, images,
        snippet=telling, link=published(record.study_id, images),
    )  # fmt: skip


def forget_derived(library: Library, study_ids: Collection[str]) -> int:
    """Remove what lies next to a library and was derived from these studies, patches and indexes; how many files."""
    files = forget_patches(patch_folder(library), frozenset(study_ids))
    for mode in MODES:
        cells = library.derived_file(f"{mode}.cells")
        if cells is not None and cells.exists():
            cells.unlink()
            files += 1
    return files


def patch_folder(library: Library) -> Path:
    """Beside the library's file; of a library in a server, in the user's cache."""
    if (folder := library.derived_file("patches")) is not None:
        return folder
    return user_cache("patches") / hashlib.sha256(library.secret).hexdigest()[:16]
