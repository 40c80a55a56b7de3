"""Why two studies are alike: shares that sum to the cosine, and removals that hold on the deployed forward."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests import made_up

from lingula.explanation.similarity import REGIONS, _matches, _parts, sentences_of, similarity, what_would_change
from lingula.explanation.target import Target, blurred, without
from lingula.model.batch import batch_studies
from lingula.model.checkpoint import Checkpoint
from lingula.reading.preprocess import Letterbox
from lingula.study import MODES, Mode, Report, Study

ONE, OTHER = made_up.study(0), made_up.study(3)


def _embedding(checkpoint: Checkpoint, study: Study, mode: Mode) -> np.ndarray:  # type: ignore[type-arg]
    batch = batch_studies([study], checkpoint.model.architecture.preprocessing, checkpoint.tokenizer)
    return checkpoint.model(batch, (mode,))[mode].embedding[0].astype(float)


@pytest.mark.parametrize("mode", MODES)
def test_shares_sum_to_the_cosine_from_both_sides(checkpoint: Checkpoint, mode: Mode) -> None:
    found = similarity(ONE, OTHER, checkpoint, mode)
    expected = float(_embedding(checkpoint, ONE, mode) @ _embedding(checkpoint, OTHER, mode))
    assert found.score == pytest.approx(expected, abs=1e-5)
    for side in (found.one, found.other):
        assert side.total == pytest.approx(expected, abs=1e-4)
        assert sum(token.score for token in side.tokens) == pytest.approx(side.text, abs=1e-5)
        assert [values.shape for values in side.maps] == (
            [] if mode == "text" else [film.pixels.shape for film in side.study.radiographs]
        )
    assert found.sum_error < 1e-4
    assert (found.one.image == 0) == (mode == "text")
    assert (found.one.text == 0) == (mode == "image")
    seen: list[tuple[int, int, int, int, int]] = []
    for match in found.matches:
        film, x, y, width, height = match.one  # never beside a place named before
        assert not any(f == film and abs(x - a) < 1.5 * width and abs(y - b) < 1.5 * height for f, a, b, _, _ in seen)
        seen.append(match.one)
        for study, (film, x, y, width, height) in ((ONE, match.one), (OTHER, match.other)):
            rows, columns = study.radiographs[film].pixels.shape
            assert 0 <= x <= x + width <= columns
            assert 0 <= y <= y + height <= rows


def test_regions_match_by_findings_alone(checkpoint: Checkpoint) -> None:
    """What the head does not read, however loud at one place of both films, names no region."""
    questions = [Target.ask(checkpoint, study, checkpoint.vocabulary.codes[0], "image") for study in (ONE, OTHER)]
    parts = [_parts(question)[0] for question in questions]
    found = _matches(questions, parts, 1.0)
    head = checkpoint.model.head_weight
    unread = np.linalg.svd(head)[2][-1]  # (D,)
    assert float(np.abs(head @ unread).max()) < 1e-4
    for part in parts:
        part[3] += 100 * unread
    loud = _matches(questions, parts, 1.0)
    assert [(match.one, match.other) for match in found] == [(match.one, match.other) for match in loud]
    assert [match.score for match in found] == pytest.approx([match.score for match in loud], abs=1e-4)
    for match in found:
        views = [
            question.batch.views[place[0]] for question, place in zip(questions, (match.one, match.other), strict=True)
        ]
        assert views[0] == views[1]
    assert found


@pytest.mark.parametrize("mode", ["image", "joint"])
def test_what_every_film_has_at_a_place_is_no_reason(checkpoint: Checkpoint, mode: Mode) -> None:
    """Were each of its films the average one of its view, the head would read the same in all patches of a film, and
    the state were still their sum."""
    label = checkpoint.vocabulary.codes[0]
    question = Target.ask(checkpoint, ONE, label, mode)
    films, model = len(ONE.radiographs), checkpoint.model
    assert sorted(question.batch.views.tolist()) == [0, 1]
    bare, state = _parts(question)
    patches = bare[: films * model.patches]
    read = (patches @ model.head_weight.T).reshape(films, model.patches, -1)  # (films, P, L)
    average = np.zeros((3, read.shape[2], model.patches), np.float32)
    average[question.batch.views] = read.transpose(0, 2, 1) * films * (2 if mode == "joint" else 1)
    known = replace(question, checkpoint=replace(checkpoint, average_film=average))
    parts, same = _parts(known)
    np.testing.assert_array_equal(state, same)
    np.testing.assert_allclose(parts.sum(0), bare.sum(0), atol=1e-4, rtol=1e-4)
    found = (parts[: films * model.patches] @ model.head_weight.T).reshape(read.shape)
    np.testing.assert_allclose(found, np.broadcast_to(read.mean(1, keepdims=True), read.shape), atol=1e-4, rtol=1e-3)
    assert float(read.std(1).min()) > 1e-4
    np.testing.assert_array_equal(parts[films * model.patches :], bare[films * model.patches :])


def test_a_stored_vector_is_what_the_asked_study_s_shares_sum_to(checkpoint: Checkpoint) -> None:
    """The library's vector came from the full film, its picture is smaller: the rest is named, not spread."""
    stored = _embedding(checkpoint, made_up.study(6), "image").astype(np.float32)
    found = similarity(ONE, OTHER, checkpoint, "image", stored)
    expected = float(_embedding(checkpoint, ONE, "image") @ stored)
    assert found.score == pytest.approx(expected, abs=1e-5)
    assert found.one.total == pytest.approx(expected, abs=1e-5)
    assert found.other.total + found.remainder == pytest.approx(expected, abs=1e-5)
    assert found.sum_error < 1e-4


def test_a_study_is_most_like_itself_and_its_sentences_align(checkpoint: Checkpoint) -> None:
    found = similarity(ONE, ONE, checkpoint, "joint")
    assert found.score == pytest.approx(1, abs=1e-5)
    assert [s.score for s in found.sentences] == sorted((s.score for s in found.sentences), reverse=True)
    assert ONE.report is not None
    spans = sentences_of(ONE.report)
    assert {s.one for s in found.sentences} <= set(spans)
    report = Report.from_sections(findings="Heart is big. Lungs clear.  ", impression="Big heart.")
    assert [report.text[a:b] for a, b in sentences_of(report)] == ["Heart is big.", "Lungs clear.", "Big heart."]


@pytest.mark.parametrize("kind", ["regions", "words"])
def test_what_would_change_holds_and_nothing_in_it_is_idle(checkpoint: Checkpoint, kind: str) -> None:
    """The rank is a made-up one: a neighbour is below the first five once the cosine falls under a bar."""
    mode: Mode = "image" if kind == "regions" else "text"
    toward = _embedding(checkpoint, ONE, mode).astype(np.float32)  # like itself: whatever goes, takes some of it
    whole = 1.0

    def cosine_without(units: list[tuple[int, ...]]) -> float:
        if kind == "words":
            assert ONE.report is not None
            return float(_embedding(checkpoint, replace(ONE, report=without(ONE.report, units)), mode) @ toward)  # type: ignore[arg-type]
        question = Target.ask(checkpoint, ONE, "normal", mode)
        pixels, empty = question.pixels.copy(), blurred(question.pixels)
        for film, x, y, w, h in units:
            rows, columns = ONE.radiographs[film].pixels.shape
            box = Letterbox.fit(rows, columns, pixels.shape[-1])
            edges = [box.top + round(edge * box.height / rows) for edge in (y, y + h)]
            edges += [box.left + round(edge * box.width / columns) for edge in (x, x + w)]
            down, across = slice(*edges[:2]), slice(*edges[2:])
            pixels[0, film, 0, down, across] = empty[0, film, 0, down, across]
        return float(question.forward(pixels).embedding[0].astype(float) @ toward)

    every: list[tuple[int, ...]] = [(0, 0, 0, 80, 96), (1, 0, 0, 90, 64)] if kind == "regions" else [(10, 40)]
    bar = whole - 0.1 * (whole - cosine_without(every))
    (change,) = what_would_change(ONE, checkpoint, toward, lambda v: 6 if float(v @ toward) < bar else 1, mode)
    assert change.kind == kind
    assert (change.rank_before, change.rank_after, change.found) == (1, 6, True)
    units = [*change.places] if kind == "regions" else [*change.words]
    assert 0 < len(units) <= REGIONS**2 * 2
    assert cosine_without(units) < bar  # type: ignore[arg-type]
    for idle in units:
        assert cosine_without([unit for unit in units if unit != idle]) >= bar  # type: ignore[misc]


def test_a_neighbour_nothing_moves_is_said_so(checkpoint: Checkpoint) -> None:
    toward = _embedding(checkpoint, OTHER, "image").astype(np.float32)
    (change,) = what_would_change(ONE, checkpoint, toward, lambda vector: 2, "image")
    assert (change.found, change.places, change.rank_before, change.rank_after) == (False, (), 2, 2)
