"""The drill: pairs are alike and differ, nothing on the questions page tells the answer, progress is kept."""

from __future__ import annotations

import csv
import io
import json
import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests import made_up

from lingula.errors import InputError
from lingula.study import Study
from lingula.teaching.drill import (
    DrillCard,
    DrillProgress,
    look_alikes,
    mine,
    read_key,
    shown_film,
    to_csv,
    write_key,
)
from lingula.teaching.drill_pages import write_questions

NAMES = {"effusion": "Pleural effusion", "nodule": "Nodule"}


def _known(count: int = 80) -> tuple[list[str], np.ndarray, dict[str, frozenset[str]]]:  # type: ignore[type-arg]
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(count, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    codes = ["normal", "effusion", "nodule", "scar", "device", "hernia"]
    labels = {f"S{i:03}": frozenset([codes[i % len(codes)]]) for i in range(count) if i % 7}
    return [f"S{i:03}" for i in range(count)], vectors, labels


def test_cards_differ_in_the_finding_and_repeat_nothing() -> None:
    ids, vectors, labels = _known()
    cards = mine(ids, vectors, labels, normal="normal", count=12, seed=1)
    assert [card.number for card in cards] == list(range(1, 13))
    seen = [study for card in cards for study in (card.a, card.b)]
    assert len(set(seen)) == len(seen)
    for card in cards:
        right, wrong = (card.a, card.b) if card.film == "A" else (card.b, card.a)
        assert card.finding in labels[right] - {"normal"}
        assert not labels[right] & labels[wrong]
        likeness = float(vectors[ids.index(card.a)] @ vectors[ids.index(card.b)])
        assert card.likeness == pytest.approx(likeness, abs=1e-6)
    assert max(np.unique([card.finding for card in cards], return_counts=True)[1]) <= 3
    assert mine(ids, vectors, labels, normal="normal", count=12, seed=1) == cards


def test_a_look_alike_is_coded_and_shares_nothing() -> None:
    """By hand; a normal film is a look-alike of an abnormal one."""
    labels = {"S1": frozenset(["effusion", "scar"]), "S2": frozenset(["scar"]), "S3": frozenset(["normal"])}
    near = [("S1", 1.0), ("S2", 0.9), ("S4", 0.8), ("S3", 0.7)]
    assert look_alikes("S1", near, labels) == [("S3", 0.7)]


def test_neither_order_nor_side_tells_the_answer() -> None:
    """Half the answers are A in every drill; over many drills a card's place says nothing of its likeness."""
    ids, vectors, labels = _known()
    places = []
    for seed in range(40):
        cards = mine(ids, vectors, labels, normal="normal", count=10, seed=seed)
        assert sum(card.film == "A" for card in cards) == 5
        places.append(np.corrcoef([c.number for c in cards], [c.likeness for c in cards])[0, 1])
    assert abs(np.mean(places)) < 0.2


def test_the_questions_page_tells_nothing(tmp_path: Path) -> None:
    """Two drills whose keys are swapped give the same page but for the films' places."""
    studies = {name: Study(name, (made_up.film(i),)) for i, name in enumerate(("SECRET1", "SECRET2"))}
    pages = []
    for film in ("A", "B"):
        card = DrillCard(1, "effusion", "SECRET1", "SECRET2", film, 0.91)  # type: ignore[arg-type]
        films = [(shown_film(studies[card.a]), shown_film(studies[card.b]))]
        write_questions(tmp_path / f"{film}.html", [card], films, NAMES)
        pages.append((tmp_path / f"{film}.html").read_text())
    assert pages[0] == pages[1]
    assert "SECRET" not in pages[0]
    assert "0.91" not in pages[0]
    assert "film1" not in pages[0]
    assert "<script" not in pages[0]
    for encoded in re.findall(r"data:image/png;base64,([^\"]+)", pages[0]):
        with Image.open(BytesIO(b64decode(encoded))) as picture:
            assert set(picture.info) <= {"transparency"}


def test_progress_is_kept_and_exported(tmp_path: Path) -> None:
    cards = (DrillCard(1, "effusion", "S1", "S2", "A", 0.9), DrillCard(2, "nodule", "S3", "S4", "B", 0.8))
    write_key(tmp_path, cards)
    assert read_key(tmp_path) == cards
    DrillProgress.load(tmp_path).with_answer(1, "B").with_answer(1, "A").with_answer(2, "A").save(tmp_path)
    progress = DrillProgress.load(tmp_path)
    assert progress.answers == {1: ("B", "A"), 2: ("A",)}
    assert progress.right(cards) == 1
    rows = list(csv.DictReader(io.StringIO(to_csv(cards, progress, NAMES))))
    assert [(row["finding"], row["answers"], row["last_right"]) for row in rows] == [
        ("Pleural effusion", "B A", "true"),
        ("Nodule", "A", "false"),
    ]


def test_a_folder_without_a_drill_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read_key(tmp_path)
    assert refused.value.code == "not_found"
    (tmp_path / "key.json").write_text(json.dumps([{"number": 1}]))
    with pytest.raises(InputError) as refused:
        read_key(tmp_path)
    assert refused.value.code == "bad_request"
