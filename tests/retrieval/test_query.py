"""What a question in words is understood as, and the JSON body that says the same."""

from __future__ import annotations

import json

import pytest

from lingula.errors import InputError
from lingula.retrieval import Query, Wanted


def wanted(*codes: str) -> tuple[Wanted, ...]:
    return tuple(Wanted(code) for code in codes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("effusion, no cardiomegaly", Query(present=wanted("effusion"), absent=wanted("cardiomegaly"))),
        ("cardiomegaly without effusion or edema",
         Query(present=wanted("cardiomegaly"), absent=wanted("effusion", "edema"))),
        ("possible left lower lobe pneumonia", Query(uncertain=(Wanted("pneumonia", "left", "lower"),))),
        ("atelectasis or scarring", Query(either=wanted("atelectasis", "scar"))),
        ("no pneumothorax", Query(absent=wanted("pneumothorax"))),
        ("enlarged heart", Query(present=wanted("cardiomegaly"))),
        ("Please show me cases with bilateral pleural effusions", Query(present=(Wanted("effusion", "bilateral"),))),
        ("right base", Query(present=(Wanted("", "right", "base"),))),
        ("nodule in the right upper lobe of an old smoker",
         Query(present=(Wanted("nodule", "right", "upper"),), words=("old", "smoker"))),
        ("hydropneumothorax", Query(present=wanted("effusion", "pneumothorax"))),
        ("fracture", Query(present=wanted("bone_fracture"))),
        ("normal", Query(present=wanted("normal"))),
        ("dextrocardia", Query(words=("dextrocardia",))),
        ("", Query()),
    ],
)  # fmt: skip
def test_reads_words(text: str, expected: Query) -> None:
    assert Query.read(text) == expected.with_options(text=text)


def test_words_that_are_not_understood_come_with_a_proposal() -> None:
    query = Query.read("fractue in an old smoker, no effusion")
    assert query.words == (
        "fractue",
        "old",
        "smoker",
    )  # sought as they are: a proposal is taken by nobody but the asker
    assert [each.proposal for each in query.not_understood] == ["fracture", None, None]
    assert query.absent == wanted("effusion")
    assert "did you mean fracture?" in " ".join(query.explain())


def test_a_printed_question_may_be_added_to() -> None:
    query = Query.read("right effusion, no cardiomegaly")
    assert query.question() == "effusion (right); no cardiomegaly"
    longer = Query.read(query.question() + ", nodule")
    assert (longer.present, longer.absent) == ((Wanted("effusion", "right"), Wanted("nodule")), wanted("cardiomegaly"))


def test_with_and_without() -> None:
    query = Query.read("edema", also="right base", without="effusion, possible mass")
    assert query.present == (Wanted("edema"), Wanted("", "right", "base"))
    assert query.absent == wanted("effusion", "mass")
    assert query.explain() == (
        "must show edema",
        "must show any finding (right, base)",
        "must not show effusion",
        "must not show mass",
    )


def test_json_there_and_back() -> None:
    query = Query.read("left effusion or edema, smoker").with_options(
        like="CXR1",
        more=("CXR2",),
        view="frontal",
        age=(40, 60),
        labels=("hernia",),
        source="image",
        target="text",
        k=3,
    )
    assert Query.from_json(json.loads(json.dumps(query.to_json()))) == query
    assert Query.from_json({"text": "no effusion"}) == Query.read("no effusion")
    edited = {
        "text": "no effusion",
        "present": [{"finding": "edema"}],
    }  # a part was toggled: the text is not read again
    assert Query.from_json(edited) == Query(text="no effusion", present=wanted("edema"))


@pytest.mark.parametrize(
    "body",
    [
        {"txt": "effusion"},
        {"text": 3},
        {"text": "x" * 2001},
        {"present": ["effusion"]},
        {"present": [{"finding": "tumbleweed"}]},
        {"present": [{"finding": "effusion", "side": "up"}]},
        {"present": [{"finding": "effusion", "place": "knee"}]},
        {"present": [{}]},
        {"present": [{"finding": "effusion", "size": "small"}]},
        {"labels": ["tumbleweed"]},
        {"more": ["CXR1"] * 101},
        {"age": [60, 40]},
        {"age": [1]},
        {"age": "40-60"},
        {"view": "oblique"},
        {"source": "sound"},
        {"k": 0},
        {"k": True},
        {"k": 101},
        {"fold": "yes"},
    ],
)
def test_refuses_what_no_library_could_answer(body: dict[str, object]) -> None:
    with pytest.raises(InputError) as refused:
        Query.from_json(body)
    assert refused.value.code == "bad_request"


def test_empty() -> None:
    assert Query().is_empty
    assert Query(view="frontal").is_empty  # a filter alone asks nothing
    assert not Query.read("no effusion").is_empty
    assert not Query(more=("CXR1",)).is_empty


@pytest.mark.parametrize(
    ("text", "age", "view", "words"),
    [
        ("hyperinflated, elderly, no nodule", (65, 90), None, ()),
        ("effusion in patients over 70", (71, 90), None, ()),
        ("effusion, aged 80+", (80, 90), None, ()),
        ("pneumonia, younger than 18", (0, 17), None, ()),
        ("cardiomegaly in their 50s", (50, 59), None, ()),
        ("60-year-old man with pneumonia", (60, 60), None, ("man",)),
        ("nodule between 30 and 40 years", (30, 40), None, ()),
        ("pneumonia in children", (0, 17), None, ()),
        ("nodule, not in children", (18, 90), None, ()),
        ("not elderly, effusion", (0, 64), None, ()),
        ("effusion, not between 30 and 40 years", None, None, ("no between", "no 30", "no 40", "no years")),
        ("age 10-20, nodule, age 40-50", (10, 20), None, ("age", "40-50")),
        ("nodule over 30 mm, old granuloma", None, None, ("30", "mm", "old")),
        ("cardiomegaly on the lateral view", None, "lateral", ()),
        ("PA film with pacemaker", None, "frontal", ()),
        ("effusion but not on the lateral view", None, None, ("no lateral", "no view")),
    ],
)
def test_reads_ages_and_views(text: str, age: tuple[int, int] | None, view: str | None, words: tuple[str, ...]) -> None:
    query = Query.read(text)
    assert (query.age, query.view, query.words) == (age, view, words)
    assert Query.read(query.question()).with_options(text=text) == query
