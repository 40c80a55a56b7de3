"""The relevance model on evidence written by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from lingula.errors import ModelError
from lingula.labels import Vocabulary
from lingula.library import Entry, Library
from lingula.library.catalogue import Roster
from lingula.retrieval import Query, QueryEmbedding, ask
from lingula.retrieval.hubness import SHARE
from lingula.retrieval.relevance import COMPARED, LABEL_PARTS, Relevance, Weights, label_evidence, relevance_of
from lingula.retrieval.similar_studies import EvidenceTable, PairEvidence, odds_of
from lingula.study import MODES, Mode, Neighbour, Radiograph, Study


def weights(asked: str, reported: bool) -> Weights:
    count = len(COMPARED[asked, reported]) + len(LABEL_PARTS)  # type: ignore[index]
    return Weights((0.5,) * count, (1.0,) * count, -1.0)


def relevance(model: str = "m" * 16) -> Relevance:
    return Relevance(model, {key: weights(*key) for key in COMPARED}, {"queries": 1})


def test_label_evidence_is_what_one_computes_by_hand() -> None:
    expected = np.array([0.5, 0.2, 0.6])  # two abnormal labels, then normal
    found = label_evidence(expected, np.array([[1.0, 1, 0], [0, 0, 1], [1, 0, 0]]), normal=2)
    both, one = 1 - 0.5 * 0.8, 0.5
    assert found[0] == pytest.approx([both, 0.7 / 2.0, 0])  # 0.7 expected in both, 0.7 + 2 - 0.7 in either
    assert found[1] == pytest.approx([0, 0, 0.6])
    assert found[2] == pytest.approx([one, 0.5 / (0.7 + 1 - 0.5), 0])


def test_more_evidence_never_lowers_score_or_odds() -> None:
    low, high = (
        PairEvidence((("image", c, None), ("text", c, 0.1)), np.array([c, c, 0.0]), reported=True) for c in (0.2, 0.4)
    )
    own = weights("image", True)
    scores = [sum(part.score for part in each.parts(own, "image")) for each in (low, high)]
    assert scores[0] < scores[1]
    assert odds_of(relevance(), low, "image") < odds_of(relevance(), high, "image")


def test_parts_sum_to_the_weighted_evidence() -> None:
    pair = PairEvidence((("image", 0.3, None), ("text", 0.5, 0.2)), np.array([0.4, 0.1, 0.2]), reported=True)
    parts = {part.name: part.score for part in pair.parts(weights("image", True), "image")}
    assert parts == pytest.approx(
        {"image": 0.15, "text": 0.25, "hub": -SHARE * 0.5 * 0.2, "shared": 0.2, "overlap": 0.05, "normal": 0.1}
    )
    assert sum(parts.values()) == pytest.approx(0.5 * sum(pair.row))


def test_scores_of_a_table_are_those_of_its_pairs() -> None:
    nan = float("nan")
    table = EvidenceTable(
        roster=Roster(("both", "film", "report", "unreported")),
        rows=np.arange(4, dtype=np.int32),
        asked="image",
        reported=np.array([True, True, True, False]),
        modes=np.array([[0, 1], [0, -1], [-1, 1], [0, -1]], np.int8),  # places of image and text
        cosines=np.array([[0.3, 0.5], [0.4, 0], [0, 0.7], [0.2, 0]]),
        hubness=np.array([[nan, 0.2], [nan, nan], [nan, 0.1], [nan, nan]]),
        labels=np.array([[0.4, 0.1, 0.2], [0, 0, 1], [0.5, 0.5, 0], [0.3, 0.2, 0.1]]),
    )
    pairs = [table.pair(row) for row in range(4)]
    assert MODES[:2] == ("image", "text")
    assert [each.compared for each in pairs] == [
        (("image", 0.3, None), ("text", 0.5, 0.2)), (("image", 0.4, None), None), (None, ("text", 0.7, 0.1)),
        (("image", 0.2, None),),
    ]  # fmt: skip
    own = {
        key: replace(weights(*key), score=(0.9, 0.6, 0.5, 0.4, 0.3)[-len(weights(*key).score) :]) for key in COMPARED
    }
    summed = [sum(part.score for part in each.parts(own["image", each.reported], "image")) for each in pairs]
    assert table.scores(Relevance("m" * 16, own)) == pytest.approx(summed)


def test_a_file_is_read_back_and_refused_where_it_is_damaged_or_another_models(tmp_path: Path) -> None:
    path = relevance().save(tmp_path)
    found = relevance_of("m" * 16, tmp_path)
    assert found is not None
    assert found.weights == relevance().weights
    body = json.loads(path.read_text())
    (tmp_path / f"{'n' * 16}.json").write_text(path.read_text())
    with pytest.raises(ModelError, match="model_mismatch"):
        relevance_of("n" * 16, tmp_path)
    body["weights"][0]["odds"][0] = -1.0  # less evidence would then be more
    (tmp_path / f"{'o' * 16}.json").write_text(json.dumps(body))
    with pytest.raises(ModelError, match="model_bad_file"):
        relevance_of("o" * 16, tmp_path)
    assert relevance_of("p" * 16, tmp_path) is None


ASKED = {"pleural_effusion": 0.9, "cardiomegaly": 0.05, "normal": 0.05}
STORED = {  # study: degrees from the asked film, coded labels
    "near-normal": (10, ("normal",)),
    "far-normal": (70, ("normal",)),
    "near-effusion": (5, ("pleural_effusion",)),
    "far-effusion": (60, ("pleural_effusion",)),
    "far-heart": (65, ("cardiomegaly",)),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    codes = Vocabulary.load("openi22").codes
    where = tmp_path_factory.mktemp("library") / "x.sqlite"
    with Library.create(where, model="m" * 16, vocabulary="v", labels=codes, dimension=2) as made:
        rng = np.random.default_rng(0)
        for study_id, (degrees, labels) in STORED.items():
            angle = np.deg2rad(degrees)
            film = Radiograph(f"{study_id}-film", rng.random((32, 24), np.float32), "frontal")
            vectors: dict[Mode, npt.NDArray[np.float32]] = {
                "image": np.array([np.cos(angle), np.sin(angle)], np.float32)
            }
            made.add_many([Entry(Study(study_id, (film,), terms=("coded",)), vectors, labels)])
        yield made


def answers(library: Library, aim: str) -> tuple[Neighbour, ...]:
    asked = QueryEmbedding(np.array([1, 0], np.float32), "image", ASKED)
    query = Query(aim=aim, k=10)  # type: ignore[arg-type]
    found = ask(library, query, asked, relevance=relevance())[0]
    assert all(each.score == pytest.approx(sum(part.score for part in each.parts)) for each in found)
    return found


def test_a_normal_look_alike_is_normal_and_the_nearest_to_the_eye_comes_first(library: Library) -> None:
    assert [each.study_id for each in answers(library, "normal_look_alike")] == ["near-normal", "far-normal"]


def test_same_findings_come_first_and_of_these_what_looks_most_different(library: Library) -> None:
    found = answers(library, "same_findings")
    assert [each.study_id for each in found[:2]] == ["far-effusion", "near-effusion"]
    looks = {each.study_id: next(part for part in each.parts if part.name == "image") for each in found}
    assert looks["near-effusion"].score < looks["far-effusion"].score < 0  # being alike to the eye is taken off


def test_what_is_similar_by_default_shares_the_finding_and_looks_alike(library: Library) -> None:
    assert answers(library, "similar")[0].study_id == "near-effusion"


def test_where_no_study_may_answer_none_does(library: Library) -> None:
    asked = QueryEmbedding(np.array([1, 0], np.float32), "image", ASKED)
    with Library.open(library.place) as fresh:
        assert ask(fresh, Query(view="lateral"), asked, relevance=relevance())[:2] == ((), 0)
        assert ask(fresh, Query(), asked, relevance=relevance())[0][0].study_id == "near-effusion"
