"""Search by a box: what is planted is found where it was planted, patches go on where they were stopped, refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from tests import made_up

from lingula.errors import LibraryError, LingulaError
from lingula.ingest.batches import create_library, encoded
from lingula.library import Library
from lingula.model.checkpoint import Checkpoint
from lingula.page.region import write_region
from lingula.retrieval.region import Place, library_patches, search_region, shares
from lingula.retrieval.region_index import AXES, Basis, FilmKey, Patches
from lingula.study import Radiograph, Study


def _ring(film: Radiograph, x: int, y: int) -> Radiograph:
    """The film with a bright ring of 20 px around (x, y)."""
    rows, columns = np.mgrid[0 : film.pixels.shape[0], 0 : film.pixels.shape[1]]
    far = np.hypot(rows - y, columns - x)
    return replace(film, pixels=np.where((far > 5) & (far < 10), np.float32(1), film.pixels).astype(np.float32))


def _study(number: int, *places: tuple[int, int]) -> Study:
    film = made_up.film(500 + number, (128, 112))
    for at in places:
        film = _ring(film, *at)
    return Study(f"R{number:02}", (film,), None, ("normal",))


@pytest.fixture(scope="module")
def library(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """Thirty films; one has a ring low on the right of the picture, one in the mirrored place, one far up."""
    rings = {7: (84, 90), 12: (112 - 84, 90), 19: (84, 20)}
    studies = [_study(n, *([rings[n]] if n in rings else [])) for n in range(30)]
    studies.append(Study("lateral", (made_up.film(900, view="lateral"),), None, ("normal",)))
    with create_library(checkpoint, tmp_path_factory.mktemp("library") / "library.sqlite") as made:
        made.add_many(encoded(checkpoint, studies))
        yield made


ASKED = replace(_study(40, (82, 88)), study_id="asked")
BOX = Place(0, 70, 76, 24, 24)


def test_the_same_thing_at_the_same_place_is_found_first(checkpoint: Checkpoint, library: Library) -> None:
    answer = search_region(ASKED, BOX, checkpoint, library)
    first = answer.found[0]
    assert (first.neighbour.study_id, first.mirrored, answer.films) == ("R07", False, 30)
    at = first.place
    assert at.x <= 84 <= at.x + at.width
    assert at.y <= 90 <= at.y + at.height
    assert first.neighbour.score > answer.found[1].neighbour.score + 0.1
    assert {each.neighbour.study_id for each in answer.found[:2]} != {"R07", "R19"}  # far up is another place
    body = answer.to_json()
    assert json.loads(json.dumps(body)) == body
    assert body["neighbours"][0]["region"]["columns"] == 112
    ranking = [(-each.neighbour.score, each.neighbour.study_id) for each in answer.found]
    assert ranking == sorted(ranking)


def test_the_other_side_answers_only_where_it_may(checkpoint: Checkpoint, library: Library) -> None:
    answer = search_region(ASKED, BOX, checkpoint, library, mirrored=True, k=2)
    found = {each.neighbour.study_id: each for each in answer.found}
    assert {study: each.mirrored for study, each in found.items()} == {"R07": False, "R12": True}
    at = found["R12"].place
    assert at.x <= 112 - 84 <= at.x + at.width


def test_a_study_never_answers_itself_nor_does_its_file(checkpoint: Checkpoint, library: Library) -> None:
    own = _study(7, (84, 90))
    assert "R07" not in {each.neighbour.study_id for each in search_region(own, BOX, checkpoint, library, k=30).found}
    renamed = search_region(replace(own, study_id="another name"), BOX, checkpoint, library, k=30)
    assert "R07" not in {each.neighbour.study_id for each in renamed.found}


@pytest.mark.parametrize(
    ("place", "k", "words"),
    [
        (Place(1, 0, 0, 9, 9), 5, "no film 1"),
        (Place(0, 100, 0, 13, 9), 5, "not inside the film of 112 x 128"),
        (Place(0, -1, 0, 9, 9), 5, "not inside"),
        (Place(0, 5, 5, 0, 9), 5, "not inside"),
        (BOX, 0, "k is 0"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    checkpoint: Checkpoint, library: Library, place: Place, k: int, words: str
) -> None:
    with pytest.raises(LingulaError, match=words) as refused:
        search_region(ASKED, place, checkpoint, library, k=k)
    assert refused.value.code == "bad_request"


def test_without_films_or_pictures_there_is_nothing_to_search(
    checkpoint: Checkpoint, library: Library, tmp_path: Path
) -> None:
    alone = Study("asked", (made_up.film(1, view="lateral"),))
    answer = search_region(alone, Place(0, 0, 0, 30, 30), checkpoint, library)
    assert [each.neighbour.study_id for each in answer.found] == ["lateral"]
    with create_library(checkpoint, tmp_path / "words.sqlite") as words:
        words.add_many(encoded(checkpoint, [made_up.study(1).text_only()]))
        with pytest.raises(LibraryError, match="no film"):
            search_region(ASKED, BOX, checkpoint, words)
    gallery = cast(Any, SimpleNamespace(about=library.about))
    with pytest.raises(LibraryError, match="gallery") as refused:
        search_region(ASKED, BOX, checkpoint, gallery)
    assert refused.value.code == "library_missing"


def test_patches_go_on_where_they_were_stopped_and_damage_is_mended(
    checkpoint: Checkpoint, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lingula.retrieval.region.SHARD", 8)
    whole = library_patches(checkpoint, library, folder=tmp_path / "whole")
    assert whole.vectors.shape == (31, checkpoint.model.patches, whole.basis.axes.shape[1])

    def stop(done: int, of: int) -> None:
        if done >= 20:
            raise KeyboardInterrupt

    made: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        library_patches(checkpoint, library, stop, folder=tmp_path / "kept")
    kept = sorted((tmp_path / "kept").glob("[0-9a-f]*.safetensors"))
    again = library_patches(checkpoint, library, lambda done, of: made.append(done), folder=tmp_path / "kept")
    assert min(made) > 16  # two files of eight films stayed
    np.testing.assert_array_equal(again.vectors, whole.vectors)

    victim = next(path for path in kept if path.stem != "basis")
    data = bytearray(victim.read_bytes())
    data[-3] ^= 1
    victim.write_bytes(data)
    mended = library_patches(checkpoint, library, folder=tmp_path / "kept")
    np.testing.assert_array_equal(mended.vectors, whole.vectors)
    assert not list((tmp_path / "kept").glob("*.part"))


def test_patches_are_found_where_they_cannot_be_kept(checkpoint: Checkpoint, library: Library, tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "taken").write_text("")
    assert len(library_patches(checkpoint, library, folder=tmp_path / "taken").keys) == 31


def test_another_model_makes_its_own_and_new_films_are_added(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with create_library(checkpoint, tmp_path / "library.sqlite") as small:
        small.add_many(encoded(checkpoint, [_study(n) for n in range(6)]))
        before = library_patches(checkpoint, small)
        assert (tmp_path / "library.sqlite-patches").is_dir()
        small.add_many(encoded(checkpoint, [_study(6)]))
        after = library_patches(checkpoint, small)
        assert len(after.keys) == len(before.keys) + 1
        np.testing.assert_array_equal(after.vectors[:6], before.vectors)
    other = made_up.checkpoint(tmp_path / "other", seed=1)
    with create_library(other, tmp_path / "others.sqlite") as theirs:
        theirs.add_many(encoded(other, [_study(n) for n in range(7)]))
        alien = library_patches(other, theirs, folder=tmp_path / "library.sqlite-patches")
    assert not np.array_equal(alien.vectors, after.vectors)


def test_shares_of_a_box_by_hand() -> None:
    """A square film on a 4 x 4 grid over 8 x 8 input pixels: patches of two; the box spans columns 1-5, rows 2-4."""

    def ramp(rows: int, columns: int) -> np.ndarray:
        return np.linspace(0, 1, rows * columns, dtype=np.float32).reshape(rows, columns)

    found = shares(Place(0, 1, 2, 4, 2), ramp(8, 8), 8, 4)
    np.testing.assert_allclose(found[1], [0.25, 0.5, 0.25, 0])
    assert found.sum() == pytest.approx(1)
    wide = shares(Place(0, 0, 0, 8, 4), ramp(4, 8), 8, 4)  # letterboxed: two rows of padding above and below
    np.testing.assert_allclose(wide.sum(1), [0, 0.5, 0.5, 0])


def test_scores_are_those_of_a_naive_search() -> None:
    """Patch by patch, move by move, in double precision."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((5, 49, 3)).astype(np.float16)
    keys = tuple(FilmKey(f"S{n}", 0, "") for n in range(5))
    basis = Basis(np.zeros((3, 49, 3), np.float32), np.eye(3, dtype=np.float32), 5)
    patches = Patches(keys, np.zeros(5, np.int64), vectors, basis)
    query = rng.standard_normal((49, 3)).astype(np.float16)
    weights = np.zeros((7, 7), np.float32)
    weights[0, 2:4] = (0.4, 0.6)
    scores, moves = patches.match(query, weights, np.arange(5))
    for film in range(5):
        tried = {}
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                if dy < 0:
                    continue  # the box would leave the film
                top = one = other = 0.0
                for y, x, w in ((0, 2, 0.4), (0, 3, 0.6)):
                    q = query[y * 7 + x].astype(float)
                    k = vectors[film, (y + dy) * 7 + x + dx].astype(float)
                    top, one, other = top + w * (q @ k), one + w * (q @ q), other + w * (k @ k)
                tried[dy, dx] = top / np.sqrt(one * other)
        best = max(tried, key=lambda move: tried[move])
        assert scores[film] == pytest.approx(tried[best], abs=2e-6)
        assert tuple(moves[film]) == best


def test_the_usual_look_of_a_place_and_common_variation_do_not_count() -> None:
    rng = np.random.default_rng(1)
    average = 3 * rng.standard_normal((49, 60))
    loud = rng.standard_normal(60)  # one direction in which all films vary much
    films = average + rng.standard_normal((200, 49, 60)) + 30 * rng.standard_normal((200, 49, 1)) * loud
    views = np.arange(200) % 2
    basis = Basis.learned(films.astype(np.float16), views.astype(np.int64), 3)
    assert basis.axes.shape == (60, AXES)
    found = basis.reduced(films.astype(np.float32), views.astype(np.int64)).astype(np.float64)
    assert abs(found.mean(0)).max() < 0.5
    spread = found.reshape(-1, AXES).std(0)
    assert spread.min() > 0.5
    assert spread.max() < 1.5


def test_the_page_shows_both_boxes_and_loads_nothing(checkpoint: Checkpoint, library: Library, tmp_path: Path) -> None:
    answer = search_region(ASKED, BOX, checkpoint, library, mirrored=True)
    studies = {each.neighbour.study_id: library.study(each.neighbour.study_id) for each in answer.found}
    write_region(tmp_path / "page.html", answer, studies, {"normal": "No finding"})
    page = (tmp_path / "page.html").read_text()
    assert page.count("<rect") == 2 * (1 + len(answer.found))
    assert page.count('src="data:image/png') == 1 + len(answer.found)
    assert "http" not in page.replace("http-equiv", "")
    assert "mirrored" in page
