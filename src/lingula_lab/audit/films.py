"""Films that two parts share: the same file, or the same picture re-encoded, resized, inverted or mirrored.

A film is squeezed to a 64 x 64 thumbnail of zero mean and unit norm. The signs of its 255 lowest cosine coefficients
are its hash (after Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions"). Inverting a film
turns every sign, mirroring it turns those of odd horizontal frequency, so one product of hashes answers for all four
forms. Chest films look alike: the hash only proposes, the correlation of the thumbnails decides.

Cropped, rotated or masked copies are not found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from lingula.openi.collection import StudyFiles
from lingula.openi.loading import ImageReader
from lingula.openi.splits import SPLITS, SplitName
from lingula.retrieval.film_fingerprint import CORRELATION, SIDE, Array, thumbnail
from lingula.study import Radiograph
from lingula_lab.audit.collision import Collision, Kind, Parts, across, crossing

FREQUENCIES = 16
"""Lowest frequencies kept each way; the constant one is left out."""

DISTANCE = 48
"""Differing signs of 255 up to which two films may be the same picture.

Among the 7,256 films of the shipped split the nearest from different studies differ in 43, and 13 pairs in 48 or fewer
(``benchmarks/audit.py``), so ...
"""


@dataclass(frozen=True, slots=True, eq=False)
class FilmRecord:
    """What is kept of a film.

    Attributes:
        digest: SHA-256, hex, of the file.
        thumbnail: (4096,) float32, zero mean, unit norm; zeros for a flat film, which is like no other.
        birth_date: YYYYMMDD or empty.
    """

    study_id: str
    image_id: str
    digest: str
    thumbnail: Array = field(repr=False)
    birth_date: str = field(default="", repr=False)


def read_films(
    studies: Sequence[StudyFiles],
    sandbox: ImageReader,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[tuple[FilmRecord, ...], tuple[str, ...]]:
    """The films of these studies, and the ids of images that could not be read."""
    images = [(files.study_id, image) for files in studies for image in files.images]
    films, unread = [], []
    answers = sandbox.read_many(image.path for _, image in images)
    for done, ((study_id, image), (_, read)) in enumerate(zip(images, answers, strict=True), 1):
        if isinstance(read, Radiograph):
            born = image.birth_date or read.birth_date
            films.append(FilmRecord(study_id, image.image_id, read.digest, thumbnail(read.pixels), born))
        else:
            unread.append(image.image_id)
        progress(done, len(images))
    return tuple(films), tuple(unread)


def signs(thumbnails: Array) -> Array:
    """Hashes (N, 255) in {-1, +1} of thumbnails (N, 4096): signs of the discrete cosine transform (DCT-II)."""
    frequency, position = np.mgrid[0:FREQUENCIES, 0:SIDE]
    basis = np.cos(np.pi * frequency * (position + 0.5) / SIDE).astype(np.float32)
    coefficients = basis @ thumbnails.reshape(-1, SIDE, SIDE) @ basis.T  # (N, vertical, horizontal)
    return np.where(coefficients.reshape(-1, FREQUENCIES**2)[:, 1:] > 0, np.float32(1), np.float32(-1))


def film_collisions(films: Sequence[FilmRecord], parts: Parts) -> Iterator[Collision]:
    """One collision a file, and one a pair of films that are the same picture but not the same file."""
    for digest, ids in crossing(((film.study_id, film.digest) for film in films), parts):
        names = ", ".join(film.image_id for film in films if film.digest == digest)
        yield Collision("same_file", ids, f"The same file in {across(ids, parts)}: {names}.")
    by_part: dict[SplitName, list[FilmRecord]] = {name: [] for name in SPLITS}
    for film in films:
        if film.thumbnail.any():
            by_part[parts[film.study_id]].append(film)
    for one, other in combinations(SPLITS, 2):
        for a, b, kind, correlation in _copies(by_part[one], by_part[other]):
            if a.digest != b.digest:
                detail = f"{a.image_id} in {one} and {b.image_id} in {other} correlate at {correlation:.3f}."
                yield Collision(kind, (a.study_id, b.study_id), detail)


def _copies(
    some: Sequence[FilmRecord], others: Sequence[FilmRecord]
) -> Iterator[tuple[FilmRecord, FilmRecord, Kind, float]]:
    """Pairs that are the same picture, in which form, and the correlation in that form."""
    if not some or not others:
        return
    ours, theirs = (np.stack([film.thumbnail for film in films]) for films in (some, others))
    mirrored = theirs.reshape(-1, SIDE, SIDE)[:, :, ::-1].reshape(theirs.shape)
    hashes = signs(ours)
    bits = hashes.shape[1]
    best: dict[tuple[int, int], tuple[float, Kind]] = {}
    forms: tuple[tuple[Array, Kind], ...] = ((theirs, "same_film"), (mirrored, "mirrored_film"))
    for thumbnails, kind in forms:
        agreement = hashes @ signs(thumbnails).T  # bits - 2 * distance; of an inverted film the negative
        for i, j in np.argwhere(np.abs(agreement) >= bits - 2 * DISTANCE).tolist():
            correlation = float(ours[i] @ thumbnails[j])
            form: Kind = "inverted_film" if correlation < 0 and kind == "same_film" else kind
            best[i, j] = max(best.get((i, j), (0.0, form)), (abs(correlation), form))
    for (i, j), (correlation, form) in sorted(best.items()):
        if correlation >= CORRELATION:
            yield some[i], others[j], form, correlation
