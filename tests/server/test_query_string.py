"""A search's address says the search again, and nothing that a person typed."""

from __future__ import annotations

from urllib.parse import parse_qs, parse_qsl

import pytest
from tests import made_up

from lingula.errors import InputError
from lingula.retrieval import Query, Wanted
from lingula.server.query_string import Chip, address, chips, keepable, merged, query_of, question

FULL = Query(
    present=(Wanted("effusion", "left", "base"), Wanted("", "right")),
    absent=(Wanted("cardiomegaly"),),
    uncertain=(Wanted("nodule"),),
    either=(Wanted("mass"), Wanted("pneumonia", None, "upper")),
    words=("granular",),
    like="CXR9001",
    more=("CXR9002",),
    less=("CXR9003", "a&b=c d"),
    view="frontal",
    age=(40, 60),
    labels=("cardiomegaly",),
    source="image",
    target="text",
    k=7,
    fold=False,
)


@pytest.mark.parametrize("query", [FULL, Query(), Query.read("effusion, no cardiomegaly")])
def test_an_address_brings_the_query_back(query: Query) -> None:
    assert query_of(parse_qs(address(query))) == query.with_options(text="")


@pytest.mark.parametrize(
    "values", [{"present": ["flu"]}, {"age": ["old"]}, {"k": ["0"]}, {"k": ["x"]}, {"view": ["up"]}]
)
def test_an_address_that_names_nothing_is_refused(values: dict[str, list[str]]) -> None:
    with pytest.raises(InputError):
        query_of(values)


def test_what_is_said_last_of_a_finding_holds() -> None:
    query = merged(Query.read("effusion, no cardiomegaly"), Query.read("", without="effusion"))
    assert (query.present, set(query.absent)) == ((), {Wanted("cardiomegaly"), Wanted("effusion")})


def links(chip: Chip) -> dict[str, str]:
    return {link.words: link.address for _, choices in chip.menus for link in choices}


def test_a_chip_turns_in_its_place_and_goes() -> None:
    pairs = [("case", "id"), ("absent", "cardiomegaly"), ("present", "effusion"), ("age", "40-60")]
    heart, effusion, age = chips(query_of({name: [value] for name, value in pairs}), pairs)
    assert parse_qsl(links(heart)["perhaps"]) == [pairs[0], ("uncertain", "cardiomegaly"), *pairs[2:]]
    assert parse_qsl(links(effusion)["left"]) == [*pairs[:2], ("present", "effusion.left"), pairs[3]]
    assert parse_qsl(links(effusion)["base"]) == [*pairs[:2], ("present", "effusion..base"), pairs[3]]
    assert parse_qsl(age.removed) == pairs[:3]
    held = [link.words for _, choices in effusion.menus for link in choices if link.holds]
    assert held == ["with", "any side", "anywhere"]


def test_a_word_that_was_not_understood_is_a_chip_with_what_may_have_been_meant() -> None:
    pairs = [("word", "cardiomegally"), ("present", "effusion"), ("word", "xyzzy")]
    unknown, _, other = chips(query_of({"word": ["cardiomegally", "xyzzy"], "present": ["effusion"]}), pairs)
    assert (unknown.state, unknown.words, other.proposal) == ("word", "cardiomegally", None)
    assert unknown.proposal
    assert parse_qsl(unknown.proposal.address) == [("present", "cardiomegaly"), *pairs[1:]]


@pytest.mark.parametrize("text", ["left effusion, no cardiomegaly", "possible nodule", "mass or pneumonia", "no edema"])
def test_the_question_shown_is_read_back_as_the_same(text: str) -> None:
    query = Query.read(text)
    assert Query.read(question(query)).with_options(text="") == query.with_options(text="")


def test_a_name_gets_into_no_address() -> None:
    assert keepable(made_up.tokenizer(), ["angle", "meierhofer"]) == (("angle",), ("meierhofer",))
