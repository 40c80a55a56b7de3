"""The graph holds what the files say and training studies show; places follow from it; ranking needs no true label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests import made_up

from lingula.errors import InputError
from lingula_lab.graph import MODELS, Places, Triple, build_triples, graph_similarity, place_labels, rerank

VOCABULARY = made_up.vocabulary()
FILES = {
    "mesh2015_tree_numbers.tsv": (
        "mesh_id\tmesh_name\tmesh_tree_number\n"
        "D006332\tCardiomegaly\tC14.280.195\nD006331\tHeart Diseases\tC14.280\nD002318\tCardiovascular Diseases\tC14\n"
        "D000001\tElsewhere\tC01.100\nD000002\tAbove Elsewhere\tC01\n"
    ),
    "HumanDO.tsv": (
        'id\tlabel\tsubClassOf\n"DOID:11396"\t"pulmonary edema"\t"lung disease"\n"DOID:850"\t"lung disease"\t""\n'
        '"DOID:7"\t"elsewhere"\t"lung disease"\n'
    ),
    "MESHinDO.tsv": 'id\tlabel\txrefs\n"DOID:11396"\t"pulmonary edema"\t"MESH:D011654"\n'
    '"DOID:7"\t"x"\t"MESH:D000001"\n',
    "radlex_term_rid_parent.csv": "Term,RID,Parent_RID\npulmonary edema,RID4866,RID3\n"
    "\xe9dema,RID3,RID1\nother,RID9,RID1\n",
}


@pytest.fixture
def ontologies(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_bytes(text.encode("latin-1"))  # as RadLex comes
    return tmp_path


def test_facts_of_files_and_studies(ontologies: Path) -> None:
    coded = [("Cardiomegaly/mild", "Pleural Effusion/left")] * 3 + [("normal",)] * 9 + [None, ("Scoliosis/severe",)]
    facts = set(build_triples(VOCABULARY, coded, ontologies))
    expected = {
        Triple("label:pulmonary_edema", "exact", "mesh:D011654"),
        Triple("label:pulmonary_edema", "coded_as", "heading:pulmonary congestion"),
        Triple("heading:cardiomegaly", "names", "mesh:D006332"),
        Triple("mesh:D006332", "is_a", "mesh:D006331"),
        Triple("mesh:D006331", "is_a", "mesh:D002318"),
        Triple("doid:11396", "is_a", "doid:850"),
        Triple("doid:11396", "same_as", "mesh:D011654"),
        Triple("radlex:RID4866", "is_a", "radlex:RID3"),
        Triple("radlex:RID3", "is_a", "radlex:RID1"),
        Triple("heading:cardiomegaly", "seen_as", "qualifier:mild"),
        Triple("label:cardiomegaly", "seen_with", "label:pleural_effusion"),
        Triple("label:pleural_effusion", "seen_with", "label:cardiomegaly"),
    }
    assert expected <= facts
    entities = {entity for fact in facts for entity in (fact.head, fact.tail)}
    assert entities.isdisjoint({"mesh:D000001", "doid:7", "radlex:RID9"})  # what nothing leads to
    assert "qualifier:severe" not in {fact.tail for fact in facts if fact.relation == "seen_as"}  # once is no pattern


def test_a_file_that_is_missing_or_other_is_named(ontologies: Path) -> None:
    (ontologies / "HumanDO.tsv").write_text("id\tlabel\n")
    with pytest.raises(InputError, match="subClassOf") as refused:
        build_triples(VOCABULARY, [], ontologies)
    assert refused.value.code == "unsupported_format"
    (ontologies / "HumanDO.tsv").unlink()
    with pytest.raises(InputError, match=r"HumanDO\.tsv") as refused:
        build_triples(VOCABULARY, [], ontologies)
    assert refused.value.code == "not_found"


def _families() -> tuple[Triple, ...]:
    """Two families of five members and no fact between them."""
    return tuple(
        Triple(f"label:{family}{one}", "near", f"label:{family}{other}")
        for family in "ab"
        for one in range(5)
        for other in range(5)
        if one != other
    )


CODES = tuple(f"{family}{one}" for family in "ab" for one in range(5))


@pytest.mark.parametrize("model", MODELS)
def test_what_is_near_in_the_graph_lies_near(model: str) -> None:
    told: list[tuple[int, int]] = []
    places = place_labels(
        _families(), CODES, model=model, dimension=16, epochs=60, progress=lambda *at: told.append(at)
    )
    assert told == [(20, 60), (40, 60), (60, 60)]
    assert places.vectors.dtype == np.float32
    distance = np.linalg.norm(places.vectors[:, None] - places.vectors, axis=2)
    within = np.mean([distance[i, j] for i in range(10) for j in range(10) if i != j and i // 5 == j // 5])
    across = distance[:5, 5:].mean()
    assert within < across


def test_places_are_repeatable_and_come_back(tmp_path: Path) -> None:
    made = place_labels(_families(), CODES, dimension=8, epochs=20, split="abc", seed=3)
    again = place_labels(_families(), CODES, dimension=8, epochs=20, split="abc", seed=3)
    np.testing.assert_array_equal(made.vectors, again.vectors)
    made.save(tmp_path / "places.safetensors")
    back = Places.load(tmp_path / "places.safetensors")
    np.testing.assert_array_equal(back.vectors, made.vectors)
    assert (back.codes, back.model, back.triples, back.split) == (CODES, "TransE", 40, "abc")
    np.testing.assert_array_equal(back.of(("b1", "a0")), made.vectors[[6, 0]])
    with pytest.raises(InputError, match="no label"):
        back.of(("a0", "c0"))
    with pytest.raises(InputError, match="No graph model"):
        place_labels(_families(), CODES, model="TransX")
    replace(made, vectors=made.vectors[:3]).save(tmp_path / "short.safetensors")
    (tmp_path / "text").write_text("no")
    for name in ("short.safetensors", "text", "nowhere"):
        with pytest.raises(InputError) as refused:
            Places.load(tmp_path / name)
        assert refused.value.code == "unsupported_format"


def test_the_graph_decides_between_equal_scores_by_what_is_predicted() -> None:
    """Label 1 lies by label 0, label 2 across: of two equal candidates the one like label 1 goes first."""
    places = np.array([[1.0, 0.0], [0.9, 0.1], [-1.0, 0.2]])
    query, gallery = np.array([[3.0, 0.0, 0.0]]), np.array([[0.0, 0.0, 2.0], [0.0, 2.0, 0.0], [1.0, 0.0, 0.0]])
    similarity = graph_similarity(query, gallery, places)
    assert similarity[0].argsort().tolist() == [0, 1, 2]
    assert similarity[0, 1] == pytest.approx(0.9 / np.hypot(0.9, 0.1))
    np.testing.assert_allclose(graph_similarity(5 * query, gallery, 2 * places), similarity)
    scores = np.array([[0.5, 0.5, 0.1]])
    assert rerank(scores, similarity, 0.0)[0].argmin() == 2
    assert rerank(scores, similarity, 0.3)[0].argmax() == 1
    assert rerank(scores, similarity, 1.0)[0].argmax() == 2
    plain = rerank(scores, similarity, 0.0)
    assert plain[0, 0] == plain[0, 1]  # standardising keeps the order
