"""Columns in memory follow every write, also of other processes, and a search within a selection is exact."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lingula.library import Aged, AnyOf, Asserts, Coded, Condition, Entry, Labelled, Library, Not, Shows
from lingula.library.catalogue import Roster, Selection
from lingula.study import Radiograph, Report, Study

SAYINGS = ("No effusion.", "Small left pleural effusion.", "Possible pneumothorax.", "The heart is enlarged.", "Clear.")
DIMENSION = 16


def entry(number: int) -> Entry:
    """A made-up study: report, view, age, labels and embeddings follow from its number."""
    rng = np.random.default_rng(number)
    view = "lateral" if number % 3 else "frontal"
    film = Radiograph(f"film{number}", np.zeros((8, 8), np.float32), view, birth_date=f"19{40 + number % 50}0101",
                      study_date="20100202", digest=f"{number:064x}")  # fmt: skip
    vector = rng.normal(size=DIMENSION)
    unit = (vector / np.linalg.norm(vector)).astype(np.float32)
    modes = {"joint": unit, "image": unit} if number % 7 else {"joint": unit}
    labels = None if number % 5 == 0 else ("normal",) if number % 2 else ("cardiomegaly", "pleural_effusion")
    report = None if number % 11 == 0 else Report.from_sections(findings=SAYINGS[number % len(SAYINGS)])
    return Entry(Study(f"S{number * 7919 % 1000:03d}", (film,), report), modes, labels)


ASKED: tuple[tuple[Condition, ...], ...] = (
    (),
    (Asserts("effusion", ("present",)), Not(Asserts("cardiomegaly"))),
    (Not(AnyOf((Asserts("effusion", ("absent",)), Labelled("normal")))), Shows("lateral")),
    (Aged(50, 60), Coded()),
    (AnyOf((Asserts(polarities=("uncertain",)), Not(Coded()))),),
)


def answers(library: Library) -> list[set[str]]:
    return [set(library.matching(*conditions)) for conditions in ASKED]


def test_follows_what_others_write(library: Library, place: str) -> None:
    """A library that is open sees studies come, go, and be read anew by another; so does one that is opened later."""
    library.add_many([entry(number) for number in range(1, 60)])
    first = answers(library)
    with Library.open(place) as other:
        other.add_many([entry(number) for number in range(60, 120)])
        second = answers(library)
        assert second == answers(other)
        assert all(before <= after for before, after in zip(first, second, strict=True))
        assert len(second[0]) == 119
        other.add(Study("without"), {}, ("normal",))  # no embedding says that it came
        assert "without" in library.matching(Labelled("normal"))
        other.delete([*sorted(second[1])[:3], "without"])
        assert answers(library) == answers(other)
        assert len(library.matching()) == 116
    with Library.open(place) as later:
        assert answers(later) == answers(library)


def test_the_nearest_within_a_selection_are_those_of_a_loop(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lingula.library.library.ASKED", 10)  # fewer are searched by the database
    entries = {each.study.study_id: each for each in (entry(number) for number in range(1, 200))}
    library.add_many(entries.values())
    query = entry(500).embeddings["joint"]
    for conditions in ASKED:
        within = library.matching(*conditions)
        for mode in ("joint", "image"):
            scored = sorted(
                (-round(float(each.embeddings[mode].astype(float) @ query.astype(float)), 6), study_id)
                for study_id, each in entries.items()
                if study_id in within and mode in each.embeddings and study_id != "S919"
            )
            found = library.nearest(query, mode=mode, k=9, exclude=["S919", "nobody"], within=within)
            assert [(-score, study_id) for study_id, score in found] == scored[:9]


@pytest.mark.parametrize("other", [lambda roster: Selection(roster, np.arange(6) % 3 == 0), lambda _: {"a", "d", "z"}])
def test_selections_are_sets(other: Callable[[Roster], Selection | set[str]]) -> None:
    roster = Roster("abcdef")
    one, two = Selection(roster, np.arange(6) % 2 == 0), other(roster)
    assert (set(one), len(one), "a" in one, "b" in one, 3 in one) == (set("ace"), 3, True, False, False)
    assert one & two == set(one) & set(two)
    assert one | two == set(one) | set(two)
    assert one - two == set(one) - set(two)
    roster.add("g")
    assert "g" not in one
    assert one.at(np.array([-1, 0, 1, 6], np.int32)).tolist() == [False, True, False, False]
