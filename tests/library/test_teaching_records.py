"""Sets, links, answers and reviews are kept with the library, whichever database it lives in."""

from __future__ import annotations

from pathlib import Path

import pytest

from lingula.errors import LibraryError
from lingula.library import Library
from lingula.library.erasure import erase
from lingula.library.teaching_records import ClassLink, Review, SetRecord, TaskAnswer

CASES = [{"study_id": "S0", "partner": "S1"}, {"study_id": "S1", "partner": ""}]
SET = SetRecord("set-1", "Ann", "Nodules", 1, {"cases": CASES})
ANSWER = TaskAnswer("a1", "set-1", "", "Bo", "quiz", "S1", 10.0, True, {"confidence": 80})


def filled(library: Library) -> Library:
    library.teaching.add_set(SET)
    library.teaching.add_link(ClassLink("digest", "set-1", "quiz", 99.0))
    library.teaching.add_answer(ANSWER, Review("Bo", "S1", 20.0, {"state": 1}))
    return library


def test_what_was_stored_comes_back(library: Library) -> None:
    before = library.revision
    teaching = filled(library).teaching
    assert library.revision == before
    assert teaching.sets() == (SET,)
    assert teaching.link("digest") == ClassLink("digest", "set-1", "quiz", 99.0)
    assert teaching.answers(set_id="set-1") == teaching.answers(student="Bo") == (ANSWER,)
    assert teaching.reviews("Bo") == {"S1": Review("Bo", "S1", 20.0, {"state": 1})}
    later = TaskAnswer("a2", "set-1", "", "Bo", "quiz", "S1", 11.0, False, {})
    teaching.add_answer(later, Review("Bo", "S1", 30.0, {}))
    assert (teaching.answers(), teaching.reviews("Bo")["S1"].due) == ((ANSWER, later), 30.0)


def test_a_set_changed_meanwhile_is_not_overwritten(library: Library) -> None:
    teaching = filled(library).teaching
    changed = teaching.change_set(SetRecord("set-1", "Ann", "Masses", 1, {"cases": []}))
    assert (changed.version, teaching.set("set-1")) == (2, changed)
    with pytest.raises(LibraryError) as refused:
        teaching.change_set(SET)
    assert refused.value.code == "set_changed"
    teaching.delete_set("set-1")
    assert (teaching.sets(), teaching.answers(), teaching.link("digest")) == ((), (), None)
    for lost in (lambda: teaching.set("set-1"), lambda: teaching.delete_set("set-1"), lambda: teaching.change_set(SET)):
        with pytest.raises(LibraryError) as refused:
            lost()
        assert refused.value.code == "set_unknown"


def test_a_study_is_forgotten_everywhere(library: Library) -> None:
    teaching = filled(library).teaching
    with library._transaction() as connection:
        erase(connection, ["S1"])
    assert teaching.set("set-1").body["cases"] == [{"study_id": "S0"}]
    assert (teaching.answers(), teaching.reviews("Bo")) == ((), {})


def test_a_backup_holds_what_is_taught(library: Library, tmp_path: Path) -> None:
    filled(library).backup(tmp_path / "backup.sqlite")
    with Library.open(tmp_path / "backup.sqlite") as copy:
        assert (copy.teaching.sets(), copy.teaching.answers()) == ((SET,), (ANSWER,))
        library.teaching.delete_set("set-1")
        library.copy_from(copy)
        assert library.teaching.sets() == (SET,)


def test_a_removed_user_leaves_no_record_of_learning(library: Library) -> None:
    teaching, access = filled(library).teaching, library.access
    in_class = TaskAnswer("a2", "set-1", "digest", "Bo", "quiz", "S1", 11.0, False, {})  # a student of a class: "Bo"
    other = TaskAnswer("a3", "", "", "Cy", "alone", "S1", 12.0, True, {})
    for answer in (in_class, other):
        teaching.add_answer(answer)
    access.add_account("Bo", "read")
    assert access.remove_account("Bo") == 1
    assert teaching.answers() == (in_class, other)
    assert teaching.reviews("Bo") == {}
