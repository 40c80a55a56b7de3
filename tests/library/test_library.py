"""What goes in comes out; what does not belong is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kill
from lingula.errors import InputError, LibraryError, ModelError
from lingula.library import Entry, Library, Refusal
from lingula.library.store import Store
from lingula.study import Radiograph, Report, Study

Specimen = Callable[[int], Entry]


def add(library: Library, entry: Entry) -> str:
    return library.add(entry.study, entry.embeddings, entry.labels)


def test_round_trip(library: Library, specimen: Specimen, place: str) -> None:
    entry = specimen(1)
    assert add(library, entry) == "added"
    with Library.open(place) as opened:
        record = opened.get("S1")
        again = opened.study("S1")
        assert (len(opened), opened.ids(), opened.about) == (1, ("S1",), library.about)
        for mode, vector in entry.embeddings.items():
            assert opened.gallery(mode).vectors[0] == pytest.approx(vector, abs=1e-7)
    assert record.report == again.report == entry.study.report
    assert again.report is not None
    assert again.report.section("impression") == "心拡大 🫁 naïve"
    assert (record.terms, record.labels) == (("Cardiomegaly/mild",), ("normal", "cardiomegaly"))
    assert again.all_notices == entry.study.all_notices
    assert (record.age, record.modes) == (49, ("image", "text", "joint"))  # the day before a fiftieth birthday
    for kept, drawn, given in zip(record.radiographs, again.radiographs, entry.study.radiographs, strict=True):
        assert (kept.image_id, kept.view, kept.rows, kept.columns) == (given.image_id, given.view, *given.pixels.shape)
        assert (kept.decoder, kept.attributes) == (given.decoder, given.attributes)
        np.testing.assert_array_equal(kept.preview(), np.rint(given.pixels * 255).astype(np.uint8))
        np.testing.assert_array_equal(drawn.pixels, given.pixels)


def test_what_nobody_knows_stays_unknown(library: Library) -> None:
    """No report, no coding, no images: None is not the empty answer."""
    library.add(Study("bare"), {})
    library.add(Study("coded", terms=(), report=Report("", ())), {}, ())
    bare, coded = library.get("bare"), library.get("coded")
    assert (bare.report, bare.terms, bare.labels, bare.age, bare.birth_key) == (None, None, None, None, "")
    assert (coded.report, coded.terms, coded.labels) == (Report("", ()), (), ())
    assert library.status().uncoded == 1


def test_previews_are_small_and_true(library: Library) -> None:
    film = np.zeros((1200, 900), np.float32)
    film[:600] = 0.399  # 101.7 of 255
    library.add(Study("large", (Radiograph("film", film),)), {})
    (image,) = library.get("large").radiographs
    drawn = image.preview()
    assert (image.rows, image.columns, drawn.shape, drawn.dtype) == (1200, 900, (512, 384), np.uint8)
    assert set(drawn[:250].flat) == {102}
    assert set(drawn[262:].flat) == {0}


def test_birth_dates_are_not_stored(in_a_file: Library, specimen: Specimen, tmp_path: Path) -> None:
    library = in_a_file
    for number in (1, 2):
        add(library, specimen(number))
    image = replace(specimen(3).study.radiographs[0], birth_date="19000101")
    library.add(Study("old", (image,)), {})
    keys = [library.get(study_id).birth_key for study_id in ("S1", "S2", "old")]
    assert keys[0] == keys[1] != keys[2]
    assert library.get("old").age == 90
    assert all(b"19610203" not in file.read_bytes() for file in (tmp_path / "gallery").iterdir())


def test_same_content_is_present_other_content_conflicts(library: Library, specimen: Specimen) -> None:
    entry = specimen(1)
    assert add(library, entry) == "added"
    assert add(library, entry) == "present"
    assert library.add(library.study("S1"), {}) == "present"  # what a library gives back is the same study
    retitled = replace(entry, study=replace(entry.study, radiographs=entry.study.radiographs[:1]))
    with pytest.raises(InputError, match="S1") as conflict:
        add(library, retitled)
    assert conflict.value.code == "uid_conflict"

    outcomes = library.add_many([specimen(2), retitled, specimen(2), specimen(3)])
    assert [outcome.state for outcome in outcomes] == ["added", "refused", "present", "added"]
    assert library.ids() == ("S1", "S2", "S3")
    assert len(library.get("S1").radiographs) == 2


@pytest.mark.parametrize("spoil", [
    lambda vector: vector[:-1], lambda vector: vector * 2, lambda vector: vector * np.nan, lambda vector: vector[None],
])  # fmt: skip
def test_vectors_that_do_not_belong(library: Library, specimen: Specimen, spoil: Callable) -> None:
    good, entry = specimen(1), specimen(2)
    bad = replace(entry, embeddings={**entry.embeddings, "joint": spoil(entry.embeddings["joint"])})
    with pytest.raises(ModelError, match="S2") as refused:
        library.add_many([good, bad])
    assert refused.value.code == "model_mismatch"
    assert len(library) == 0  # nothing of the batch
    add(library, good)
    with pytest.raises(ModelError, match="the query"):
        library.search(spoil(good.embeddings["joint"]))


def test_labels_and_texts_that_do_not_belong(library: Library) -> None:
    with pytest.raises(ModelError, match="gout"):
        library.add(Study("a"), {}, ("normal", "gout"))
    for text in ("cut \ud800 here", "cut \0 here"):
        with pytest.raises(InputError, match="bad_request"):
            library.add(Study("a", report=Report(text, ())), {})
    assert library.ids() == ()


def test_unknown_study_names_the_nearest(library: Library) -> None:
    for study_id in ("CXR1000", "CXR1001", "other"):
        library.add(Study(study_id), {})
    with pytest.raises(LibraryError) as unknown:
        library.get("CXR100")
    assert unknown.value.code == "study_unknown"
    assert "CXR1000" in unknown.value.hint
    assert "other" not in unknown.value.hint


def test_status_counts_and_refusals(library: Library, specimen: Specimen) -> None:
    for number in (1, 2):
        add(library, specimen(number))
    library.add(Study("x"), {"text": specimen(3).embeddings["text"]}, ("pleural_effusion",))
    library.refuse("b.dcm", "truncated", "too short")
    library.refuse("a.dcm", "not_dicom", "a cake")
    library.refuse("a.dcm", "truncated", "half a cake")
    status = library.status()
    assert (status.studies, status.radiographs, status.uncoded) == (3, 4, 0)
    assert tuple(status.labels.items()) == (("normal", 2), ("cardiomegaly", 2), ("pleural_effusion", 1))
    assert tuple(status.views.items()) == (("frontal", 2), ("lateral", 2))
    assert tuple(status.embeddings.items()) == (("image", 2), ("text", 3), ("joint", 2))
    assert tuple(status.refused.items()) == (("truncated", 2),)
    assert status.to_json()["embeddings"] == {"image": 2, "text": 3, "joint": 2}
    assert library.refusals() == (
        Refusal("a.dcm", "truncated", "half a cake"), Refusal("b.dcm", "truncated", "too short"),
    )  # fmt: skip


def test_fingerprint_is_of_the_content(tmp_path: Path, specimen: Specimen) -> None:
    """The order of import does not matter; the model and every vector do."""

    def filled(name: str, numbers: list[int], model: str = "m") -> str:
        labels = ("normal", "cardiomegaly")
        with Library.create(tmp_path / name, model=model, vocabulary="v", labels=labels, dimension=16) as library:
            for number in numbers:
                add(library, specimen(number))
                _ = library.fingerprint  # must not stick
            return library.fingerprint

    first = filled("a", [9, 10, 11])
    assert filled("b", [11, 9, 10]) == first
    assert filled("c", [9, 10]) != first
    assert filled("d", [9, 10, 11], model="n") != first


def test_an_answer_is_of_one_revision_and_none_is_stale(
    library: Library, specimen: Specimen, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes: what was read is remembered until then and no longer, and never changes within one answer."""
    add(library, specimen(1))
    looked, read = list[int](), list[set[str]]()
    revision, summaries = Store.last_revision, Store.summaries
    monkeypatch.setattr(Store, "last_revision", lambda store: looked.append(1) or revision(store))
    monkeypatch.setattr(Store, "summaries", lambda store, ids: read.append(set(ids)) or summaries(store, ids))
    with Library.open(place) as other:
        for _ in range(2):
            assert library.summaries(["S1", "S2"]).keys() == {"S1"}
        assert library.gallery().ids == ("S1",)
        assert read == [{"S1", "S2"}, {"S2"}]  # what is there is read once; what is not may come
        with library.held():
            seen, before = len(looked), library.revision
            assert add(other, specimen(2)) == "added"
            assert (library.gallery().ids, library.revision) == (("S1",), before)
            assert len(looked) == seen
        assert library.summaries(["S1", "S2"]).keys() == {"S1", "S2"}
        assert library.assertions(["S2"])["S2"] == other.assertions(["S2"])["S2"] != ()
        assert (len(library), library.gallery().ids) == (2, ("S1", "S2"))
        assert list(library.vectors(["S2", "S3"])) == ["S2"]
        other.reindex()  # writes all assertions anew
        monkeypatch.setattr(Store, "assertions", lambda store, ids: {study: () for study in ids})
        assert library.assertions(["S2"]) == {"S2": ()}


def test_a_discarded_library_leaves_nothing(library: Library, place: str, specimen: Specimen) -> None:
    library.add_many([specimen(1)])
    library.discard()
    with pytest.raises(LibraryError) as missing:
        Library.open(place)
    assert missing.value.code == "library_missing"
    with Library.create(place, **kill.ABOUT) as again:
        assert again.ids() == ()


def test_studies_are_found_by_the_digests_of_their_films(library: Library, specimen: Specimen) -> None:
    library.add_many([specimen(number) for number in range(3)])
    digests = [image.digest for image in library.get("S1").radiographs]
    assert library.holders([*digests, "none"]) == {digest: frozenset({"S1"}) for digest in digests}
    assert library.known(["S0", "none"], digests) == {"S0", "S1"}
    assert library.known(["none"], []) == frozenset()
