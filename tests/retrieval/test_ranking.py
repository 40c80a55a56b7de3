"""Answers from a small library whose vectors and sentences are written by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from lingula import model as models
from lingula.errors import InputError, LibraryError
from lingula.labels import Vocabulary
from lingula.library import Entry, Library, ReadyGallery
from lingula.library.shipped_gallery import FOLDER, Bank, typical_norm
from lingula.model.checkpoint import fingerprint_of
from lingula.openi.splits import Split
from lingula.retrieval import Judge, Query, QueryEmbedding, ask
from lingula.retrieval.facets import FacetIndex
from lingula.retrieval.feedback import BETA, GAMMA, moved
from lingula.retrieval.hubness import NEAREST, nearness
from lingula.retrieval.ranking import SPARE, met
from lingula.study import Mode, Neighbour, Radiograph, Report, Study
from lingula_lab.gallery import write_gallery

CHECKPOINTS = Path(models.__file__).parent / "checkpoints"
VOCABULARY = Vocabulary.load("openi22")
DIMENSION = 4
REPORTS = {  # study: findings, degrees from the question, coded labels, birth date
    "A": ("Large right pleural effusion. The heart is enlarged.", 10, ("pleural_effusion", "cardiomegaly"), "19500101"),
    "B": ("Small left pleural effusion. Normal heart size.", 40, ("pleural_effusion",), "19600101"),
    "C": ("Probable effusion at the right base.", 20, ("pleural_effusion",), "19700101"),
    "D": ("No effusion. Cardiomegaly.", 5, ("cardiomegaly",), "19500101"),
    "E": ("The effusion has resolved. History of pneumonia. Rib fracture, old smoker.", 30, (), ""),
    "F": ("Opacity may represent effusion or atelectasis.", 15, (), ""),
    "G": ("Small left  pleural effusion. Normal heart size.", 41, ("pleural_effusion",), ""),  # the text of B
}


def direction(degrees: float) -> npt.NDArray[np.float32]:
    angle = np.deg2rad(degrees)
    return np.array([np.cos(angle), np.sin(angle), 0, 0], np.float32)


def film(number: int, view: str = "frontal") -> Radiograph:
    rows, columns = np.mgrid[0:48, 0:40] / 48
    waves = 0.5 + 0.4 * np.sin((number + 1) * 3 * columns + number) * np.cos((number + 2) * 2 * rows)
    return Radiograph(f"film{number}", waves.astype(np.float32), view)  # type: ignore[arg-type]


def entry(number: int, study_id: str) -> Entry:
    findings, degrees, labels, born = REPORTS[study_id]
    picture = replace(film(number, "lateral" if study_id == "B" else "frontal"), birth_date=born, study_date="20000101")
    study = Study(study_id, (picture,), Report.from_sections(findings=findings), ("coded",))
    vectors: dict[Mode, npt.NDArray[np.float32]] = {"text": direction(degrees), "image": direction(40 * number)}
    return Entry(study, vectors, labels)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    where = tmp_path_factory.mktemp("library") / "x.sqlite"
    made = Library.create(where, model="m" * 16, vocabulary="v", labels=VOCABULARY.codes, dimension=DIMENSION)
    with made:
        made.add_many(entry(number, study_id) for number, study_id in enumerate(REPORTS))
        yield made


def asked(library: Library, text: str, judge: Judge | None = None, **options: object) -> tuple[Neighbour, ...]:
    query = Query.read(text).with_options(**options)
    return ask(library, query, QueryEmbedding(direction(0), "text"), judge=judge)[0]


def ids(neighbours: tuple[Neighbour, ...]) -> list[str]:
    return [neighbour.study_id for neighbour in neighbours]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("effusion", ["A", "B", "C"]),  # certain before likely, though C is nearer than B
        ("effusion, no cardiomegaly", ["B", "C"]),
        ("cardiomegaly without effusion", ["D"]),
        ("no effusion", ["D", "E"]),  # denied, and gone; F's is possible
        ("possible effusion", ["F", "C"]),
        ("right effusion", ["A", "C"]),
        ("effusion in the right base", ["C"]),
        ("right base", ["C"]),
        ("bilateral effusion", []),
        ("effusion or fracture", ["A", "E", "B", "C"]),
        ("fracture", ["E"]),
        ("pneumothorax", []),
        ("pneumonia", []),  # of the past
    ],
)
def test_does_what_the_words_say(library: Library, question: str, expected: list[str]) -> None:
    assert ids(asked(library, question)) == expected


def test_a_score_is_the_sum_of_its_parts(library: Library) -> None:
    first, second, third = asked(library, "effusion in a smoker", k=3)
    for neighbour in (first, second, third):
        assert neighbour.score == pytest.approx(sum(part.score for part in neighbour.parts), abs=1e-9)
    assert [part.name for part in first.parts] == ["text", "words", "labels"]
    assert ids((first, second, third)) == ["A", "B", "C"]
    assert first.score == pytest.approx(np.cos(np.deg2rad(10)) + 1, abs=1e-6)
    assert third.score == pytest.approx(np.cos(np.deg2rad(20)) + 0.75, abs=1e-6)
    (smoker,) = asked(library, "fracture in a smoker")
    assert smoker.score == pytest.approx(np.cos(np.deg2rad(30)) + 1 + 0.5, abs=1e-6)
    assert asked(library, "smoker")[0].study_id == "E"  # a word alone ranks, and excludes nobody
    assert len(asked(library, "smoker")) == 6


def test_filters(library: Library) -> None:
    assert ids(asked(library, "effusion", view="lateral")) == ["B"]
    assert ids(asked(library, "effusion", age=(35, 45))) == ["B"]
    assert ids(asked(library, "no pneumothorax", labels=("cardiomegaly",))) == ["D", "A"]


def test_duplicates_are_folded_and_patients_flagged(library: Library) -> None:
    folded = {neighbour.study_id: neighbour for neighbour in asked(library, "effusion")}
    assert [(each.study_id, each.why) for each in folded["B"].duplicates] == [("G", "same text")]
    assert ids(asked(library, "effusion", fold=False)) == ["A", "B", "G", "C"]
    flagged = {neighbour.study_id: neighbour.same_patient for neighbour in asked(library, "")}
    assert {study: other for study, other in flagged.items() if other} == {"A": ("D",), "D": ("A",)}
    born = library.birth_key("19600101")
    (lateral,) = ask(library, Query(view="lateral"), QueryEmbedding(direction(0), "text"), birth_key=born)[0]
    assert (lateral.study_id, lateral.same_patient) == ("B", ("the asked study",))
    assert library.birth_key("") == ""


def test_near_identical_films_are_folded(tmp_path: Path) -> None:
    with Library.create(tmp_path / "x", model="m", vocabulary="", labels=(), dimension=DIMENSION) as library:
        again = np.clip(film(1).pixels + 0.01, 0, 1)  # saved anew, a little brighter: another file, the same picture
        pictures = {"A": film(1), "B": Radiograph("again", again, "frontal"), "C": film(2), "D": film(1)}
        for number, (study_id, picture) in enumerate(pictures.items()):
            library.add(Study(study_id, (picture,)), {"image": direction(number / 10)})
        neighbours, _, _ = ask(library, Query(), QueryEmbedding(direction(0), "image"))
        assert ids(neighbours) == ["A", "C"]  # C's embedding is as near, its picture is another
        assert [(each.study_id, each.why) for each in neighbours[0].duplicates] == [
            ("B", "near-identical film"),
            ("D", "same study"),
        ]


def test_many_duplicates_leave_room_for_others(tmp_path: Path) -> None:
    with Library.create(tmp_path / "x", model="m", vocabulary="", labels=(), dimension=DIMENSION) as library:
        said = ["The lungs are clear."] * 3 * SPARE + ["Large effusion.", "Heart enlarged.", "Old fracture."]
        library.add_many(
            Entry(Study(f"{n:03}", (), Report.from_sections(findings=text)), {"text": direction(n / 10)}, ())
            for n, text in enumerate(said)
        )
        neighbours, _, _ = ask(library, Query(k=3), QueryEmbedding(direction(0), "text"))
        assert ids(neighbours) == ["000", f"{3 * SPARE:03}", f"{3 * SPARE + 1:03}"]
        assert len(neighbours[0].duplicates) == 3 * SPARE - 1
        assert ids(ask(library, Query(k=3, fold=False), QueryEmbedding(direction(0), "text"))[0]) == [
            "000",
            "001",
            "002",
        ]


def test_snippets_mark_what_was_asked(library: Library) -> None:
    (neighbour,) = asked(library, "cardiomegaly without effusion")
    report, cut = neighbour.report, neighbour.snippet
    assert report is not None
    assert cut is not None
    assert report.text[cut.start : cut.end] == "Cardiomegaly."
    assert [(report.text[mark.start : mark.end], mark.polarity) for mark in cut.marks] == [("Cardiomegaly", "present")]
    body = neighbour.to_json()
    assert body["marks"] == [{"start": 0, "end": 12, "finding": "cardiomegaly", "polarity": "present"}]
    assert [(each.asked, each.said, each.basis) for each in neighbour.evidence] == [
        ("present", "present", "report"),
        ("absent", "absent", "report"),
    ]


def test_more_and_less(library: Library) -> None:
    q, m, n = direction(0), direction(80), direction(10)
    expected = q + BETA * m - GAMMA * n
    np.testing.assert_allclose(moved(q, {"m": m}, {"n": n}), expected / np.linalg.norm(expected), atol=1e-6)
    assert moved(q, {}, {}) is q
    with pytest.raises(InputError):
        moved(np.zeros(DIMENSION, np.float32), {"m": m}, {"n": m * np.float32(BETA / GAMMA)})
    plain, steered = asked(library, "", k=2), asked(library, "", k=2, more=("G",))
    assert ids(plain) == ["D", "A"]
    assert ids(steered) == ["F", "C"]  # moved to 17 degrees
    alone, _, _ = ask(library, Query(more=("B",), target="text", k=1), None)
    assert ids(alone) == ["G"]  # like B, which itself is not an answer
    with pytest.raises(LibraryError) as unknown:
        asked(library, "effusion", less=("nobody",))
    assert unknown.value.code == "study_unknown"


def test_films_and_reports_find_each_other(library: Library) -> None:
    by_film = ask(library, Query(target="image", k=2), QueryEmbedding(direction(0), "text"))[0]
    assert [part.name for part in by_film[0].parts] == ["image"]
    assert by_film[0].parts[0].source == "text"
    assert by_film[0].study_id == "A"


def test_a_hub_is_no_answer_across_modes(library: Library) -> None:
    """Films ask, reports answer: A is nearer to the question than F, and to most others, too."""
    bank = np.stack([direction(degrees) for degrees in (*[5] * 45, *[60] * 5)])  # fifty questions, all are taken
    banks = {"image": Bank(bank), "text": Bank(bank)}.get
    query, film = Query(target="text", k=7, fold=False), QueryEmbedding(direction(12), "image")
    others = {"image": Bank(bank[45:]), "text": Bank(bank[45:])}.get  # what is remembered of one bank is not of another
    assert ask(library, query, film, bank=others)[0] != ask(library, query, film, bank=banks)[0]
    found = ask(library, query, film, bank=banks)[0]
    for neighbour in found:
        degrees = REPORTS[neighbour.study_id][1]
        near = np.mean([np.cos(np.deg2rad(degrees - other)) for other in (*[5] * 45, *[60] * 5)])
        cosine, hub = neighbour.parts
        assert (cosine.name, hub.name, hub.weight) == ("text", "hub", -0.5)
        assert hub.value == pytest.approx(near, abs=1e-6)
        assert neighbour.score == pytest.approx(np.cos(np.deg2rad(degrees - 12)) - near / 2, abs=2e-6)
    plain = ids(ask(library, query, film)[0])
    assert (plain[0], ids(found)[0]) == ("A", "F")
    assert sorted(found, key=lambda each: (-each.score, each.study_id)) == list(found)
    within = QueryEmbedding(direction(12), "text")
    assert ids(ask(library, query, within, bank=banks)[0]) == plain
    assert all(len(neighbour.parts) == 1 for neighbour in ask(library, query, within, bank=banks)[0])


def test_nearness_is_the_mean_of_the_nearest_questions() -> None:
    rng = np.random.default_rng(0)
    answers, bank = (rng.normal(size=(n, 6)).astype(np.float32) for n in (600, 80))
    expected = [np.mean(sorted((one @ other for other in bank), reverse=True)[:NEAREST]) for one in answers]
    np.testing.assert_allclose(nearness(answers, bank), expected, rtol=1e-4)
    np.testing.assert_allclose(nearness(answers, bank[:3]), (answers @ bank[:3].T).mean(1), rtol=1e-4, atol=1e-6)


def test_studies_nobody_reported_are_judged_by_prediction(library: Library, tmp_path: Path) -> None:
    order = VOCABULARY.codes.index

    def probabilities(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        rows = np.zeros((len(vectors), len(VOCABULARY)))
        rows[:, order("pleural_effusion")] = vectors[:, 0]
        return rows

    judge = Judge(VOCABULARY.codes, np.full(len(VOCABULARY), 0.5), probabilities)
    about = {"model": "m", "vocabulary": "", "labels": VOCABULARY.codes, "dimension": DIMENSION}
    with Library.create(tmp_path / "x", **about) as unread:  # type: ignore[arg-type]
        for number, degrees in enumerate((30, 50, 80)):
            unread.add(Study(f"X{number}", (film(number),)), {"image": direction(degrees)})
        answer, matching, notices = ask(
            unread, Query.read("effusion"), QueryEmbedding(direction(0), "text"), judge=judge
        )
        assert (ids(answer), matching) == (["X0", "X1"], 2)
        assert [notice.code for notice in notices] == ["judged_by_prediction"]
        assert (answer[0].evidence[0].basis, answer[0].evidence[0].probability) == ("prediction", 0.866)
        assert ids(ask(unread, Query.read("no effusion"), QueryEmbedding(direction(0), "text"), judge=judge)[0]) == [
            "X2"
        ]
        assert ask(unread, Query.read("right effusion"), QueryEmbedding(direction(0), "text"), judge=judge)[0] == ()
        assert ask(unread, Query.read("effusion"), QueryEmbedding(direction(0), "text"))[0] == ()  # without a judge

        said = dict.fromkeys(VOCABULARY.codes, 0.0) | {"pleural_effusion": 0.9}
        sentence = QueryEmbedding(direction(0), "text", sentence=said)
        told = Query.read("There is a large right pleural effusion.")
        found, matching, notices = ask(unread, told, sentence, judge=judge)
        shown = np.cos(np.deg2rad([30, 50, 80]))
        others = (len(VOCABULARY) - 1) * np.log(1.05)
        fits = 1 + 0.1 * (0.9 * np.log(shown + 0.05) + 0.1 * np.log(1.05 - shown) + others)
        assert ([each.study_id for each in found], matching) == (["X0", "X1", "X2"], 3)
        labels = [next(part.value for part in each.parts if part.name == "labels") for each in found]
        np.testing.assert_allclose(labels, np.clip(fits, 0, 1).round(2), atol=1e-6)
        placed = ask(unread, Query.read("There is a pacemaker and the right base is hazy."), sentence, judge=judge)[0]
        assert {each.basis for each in placed[0].evidence} <= {"silence", "prediction"}
        assert (
            ask(unread, Query.read("right effusion"), sentence, judge=judge)[0] == ()
        )  # a list of one stays a condition


def test_the_ready_gallery_answers_like_the_library_it_was_made_from(library: Library, tmp_path: Path) -> None:
    path = write_gallery(library, [*REPORTS, "nobody"], tmp_path / f"{'m' * 16}.safetensors", norm=7.25)
    content = path.read_bytes()
    for findings, *_ in REPORTS.values():
        assert not any(word.encode() in content for word in ("Large", "Probable", "smoker", "resolved", findings))
    gallery = ReadyGallery.of("m" * 16, tmp_path)
    assert gallery is not None
    assert (gallery.about, typical_norm("m" * 16, tmp_path)) == (library.about, 7.25)
    for question in ("effusion, no cardiomegaly", "right base", "possible effusion", "effusion or fracture"):
        known = {study for study, (_, _, labels, _) in REPORTS.items() if labels}
        full = [n for n in asked(library, question, fold=False) if n.study_id in known]
        bare = ask(gallery, Query.read(question).with_options(fold=False), QueryEmbedding(direction(0), "text"))[0]
        assert ids(bare) == ids(tuple(full))
        assert [n.score for n in bare] == pytest.approx([n.score for n in full], abs=1e-3)  # half precision
        assert all(n.report is None and n.snippet is None for n in bare)
    _, _, told = ask(gallery, Query.read("effusion, enlarging"), QueryEmbedding(direction(0), "text"))
    assert [(notice.code, "enlarging" in notice.message) for notice in told] == [("no_texts", True)]
    elderly = Query.read("effusion in the elderly")
    by_age, matching, told = ask(gallery, elderly, QueryEmbedding(direction(0), "text"))
    ageless, without, _ = ask(gallery, elderly.with_options(age=None), QueryEmbedding(direction(0), "text"))
    assert ([notice.code for notice in told], ids(by_age), matching) == (["no_ages"], ids(ageless), without)
    facets = FacetIndex.of(gallery).facets(gallery, elderly)
    assert [facet.name for facet in facets] == ["finding", "side", "view"]  # and no age
    assert ReadyGallery.of("another", tmp_path) is None
    middle = len(content) - 40
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    with pytest.raises(LibraryError) as damaged:
        ReadyGallery.of("m" * 16, tmp_path)
    assert damaged.value.code == "index_corrupt"


def test_the_shipped_gallery_is_the_shipped_model_s() -> None:
    """Made anew with every checkpoint: ``lingula gallery``."""
    (path,) = FOLDER.glob("*.safetensors")
    manifest = CHECKPOINTS / "compact" / "manifest.json"
    assert path.stem == fingerprint_of(json.loads(manifest.read_text()))
    assert path.stat().st_size < 10_000_000
    gallery = ReadyGallery.of(path.stem)
    assert gallery is not None
    assert gallery.about.labels == VOCABULARY.codes
    train = set(Split.load("openi-v1").ids("train"))
    assert gallery.matching() <= train
    assert len(gallery) > 0.9 * len(train)


@pytest.mark.parametrize(
    "text",
    ["effusion", "effusion, no cardiomegaly", "right effusion, cardiomegaly", "effusion or fracture, old smoker"],
)
def test_what_was_asked_is_taken_apart_finding_by_finding(library: Library, text: str) -> None:
    """The shares of labels and words are the parts that an answer names, to the last decimal."""
    query = Query.read(text)
    for answer in asked(library, text):
        shares = met(library, query, answer.study_id)
        parts = {part.name: part.score for part in answer.parts if part.name in ("labels", "words")}
        for name in ("labels", "words"):
            assert sum(each.score for each in shares if each.part == name) == pytest.approx(
                parts.get(name, 0), abs=1e-6
            )
    with pytest.raises(InputError, match="does not meet what is asked: must show fracture"):
        met(library, Query.read("fracture"), "B")


def test_findings_that_nothing_shows_together_rank_and_denials_stay(library: Library) -> None:
    query = Query.read("effusion, emphysema, pneumothorax, no cardiomegaly").with_options(fold=False)
    neighbours, matching, notices = ask(library, query, QueryEmbedding(direction(0), "text"))
    assert set(ids(neighbours)) == {"B", "C", "G"}  # A and D have cardiomegaly; nothing else shows an effusion
    assert matching == 3
    assert [notice.code for notice in notices] == ["condition_relaxed"]
    labels = {n.study_id: part.value for n in neighbours for part in n.parts if part.name == "labels"}
    assert labels == pytest.approx({"B": 1 / 3, "G": 1 / 3, "C": 0.75 / 3}, abs=1e-6)
    assert sum(each.score for each in met(library, query, "B")) == pytest.approx(labels["B"], abs=1e-5)
