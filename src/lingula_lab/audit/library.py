"""A library that claims to be the gallery of one part: does it hold studies of another, under whatever name?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lingula.library import Library
from lingula.openi.splits import SplitName
from lingula_lab.audit.collision import Collision, Parts
from lingula_lab.audit.films import FilmRecord


def library_collisions(
    library: Library, claimed: SplitName, films: Sequence[FilmRecord], parts: Parts
) -> Iterator[Collision]:
    """Studies of other parts by their id, and their films by the file's digest under any other id."""
    held = library.ids()
    for study_id in held:
        if (part := parts.get(study_id, claimed)) != claimed:
            yield Collision("gallery", (study_id,), f"The library claims to hold {claimed}; this study is in {part}.")
    foreign = {film.digest: film for film in films if parts[film.study_id] != claimed}
    for study_id in held:
        for image in library.get(study_id).radiographs:
            film = foreign.get(image.digest)
            if film and film.study_id != study_id:
                detail = f"The library claims to hold {claimed}; its study {study_id} has the file of {film.image_id}."
                yield Collision("gallery", (film.study_id,), f"{detail[:-1]} in {parts[film.study_id]}.")


def model_collisions(library: Library, fingerprint: str) -> Iterator[Collision]:
    """The library was filled by another model than the checkpoint with this fingerprint."""
    if (filled_by := library.about.model) != fingerprint:
        yield Collision("other_model", (), f"The library was filled by model {filled_by}, not by {fingerprint}.")
