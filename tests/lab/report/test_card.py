"""Model card and datasheet: every figure is the file's, the Hub can read the head, another model is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from lingula.errors import InputError
from lingula.model.checkpoint import Checkpoint, load_checkpoint
from lingula_lab.report.card import Results, companions_of, datasheet, model_card

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"


@pytest.fixture(scope="module")
def results() -> Results:
    return Results.load(RESULTS / "evaluation.json", "benchmarks/results/evaluation.json")


@pytest.fixture(scope="module")
def compact(results: Results) -> Checkpoint:
    """The shipped checkpoint, under the fingerprint that the committed results speak of."""
    return replace(load_checkpoint("compact"), fingerprint=results.about["model"])


@pytest.fixture(scope="module")
def card(results: Results, compact: Checkpoint) -> str:
    return model_card(results, compact, companions_of(RESULTS / "evaluation.json"))


def figures(body: Any) -> set[str]:
    """Every figure of the tables as a card would print it."""
    if isinstance(body, dict):
        if body.keys() == {"value", "low", "high", "n"}:
            return {f"{body[key]:.3f}" for key in ("value", "low", "high") if body[key] is not None}
        return set().union(*map(figures, body.values()))
    return {str(body)} if isinstance(body, int) else set()


def test_every_figure_of_a_card_is_in_the_file_it_names(card: str, results: Results) -> None:
    tables = re.findall(r"((?:^\|.*\n)+)\nSource: `(.+?)`, table `(.+?)`", card, re.MULTILINE)
    assert len(tables) >= 7
    for body, name, key in tables:
        assert name == results.name
        known = figures(results.tables[key])
        if key == "labels":
            known |= figures(results.tables["labels_image__frontal___lateral"])
        found = set(re.findall(r"\d+\.\d{3}", body))
        assert found
        assert found <= known, key


def test_the_hub_reads_the_front_matter(card: str, results: Results) -> None:
    data = ModelCard(card).data
    assert (data.license, data.language, data.library_name) == ("other", "en", "lingula")
    (auroc,) = (each for each in data.eval_results if each.metric_type == "roc_auc")
    cell = results.value("classification", "image, frontal", "AUROC macro")
    assert auroc.metric_value == cell["value"]
    assert auroc.metric_args["low"] == cell["low"]
    assert auroc.metric_args["source"] == results.name
    assert auroc.dataset_revision == results.about["split"]["sha256"]


def test_a_card_says_what_a_reader_must_know(card: str, compact: Checkpoint) -> None:
    for heading in ("Intended use", "Training", "How good is it", "Limits", "Licence", "CLAIM", "TRIPOD+AI"):
        assert re.search(rf"^## {re.escape(heading)}", card, re.MULTILINE), heading
    assert [int(n) for n in re.findall(r"^\| (\d+) \|", card.split("## CLAIM")[1].split("## TRIPOD")[0], re.M)] == list(
        range(1, 45)
    )
    assert all(label.name in card for label in compact.vocabulary.labels)
    assert "CC BY-NC-ND 4.0" in card
    assert "{{" not in card
    assert "None" not in card


def test_a_datasheet_gives_the_support_of_every_label(results: Results, compact: Checkpoint) -> None:
    sheet = datasheet(results, compact, {})
    for label in compact.vocabulary.labels:
        counts = " | ".join(str(results.value("labels", label.code, part)) for part in ("train", "validation", "test"))
        assert re.search(rf"^\| {re.escape(label.name)} \|.*\| {re.escape(counts)} \|$", sheet, re.MULTILINE)
    for heading in ("Motivation", "Composition", "Collection", "Uses", "Distribution and maintenance"):
        assert f"## {heading}" in sheet


def test_results_of_another_model_are_refused(results: Results, compact: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not of ffff"):
        model_card(results, replace(compact, fingerprint="ffff"), {})
    (tmp_path / "results.json").write_text(json.dumps({"tables": {}}))
    with pytest.raises(InputError, match="no evaluation"):
        Results.load(tmp_path / "results.json", "results.json")
    with pytest.raises(InputError, match="has no classification / us / AUROC"):
        results.value("classification", "us", "AUROC")


@pytest.mark.parametrize("collection", [{"name": "Films of our clinic", "licence": "for our students"}, None])
def test_cards_of_other_data_say_nothing_of_open_i(
    results: Results, compact: Checkpoint, collection: dict[str, str] | None
) -> None:
    """What the data is comes from the results and the training record; a split of another hash is another's."""
    about = json.loads(json.dumps(results.about))
    about["split"] = {"name": "ours", "sha256": "0" * 64}
    about["data"].pop("collection", None)  # the shipped results say theirs
    if collection is not None:
        about["data"]["collection"] = collection
    training = {**compact.training, "data": "Ours.", "split": about["split"]}
    told = model_card(replace(results, about=about), replace(compact, training=training), {})
    with pytest.raises(InputError):
        datasheet(replace(results, about=about), compact, {})
    wanted = collection["name"] if collection else "not recorded in the study set"
    assert f"| 7 | data sources | {wanted} |" in told
    for phrase in ("openi-v1", "American state", "two hospital systems", "XXXX", "CC BY-NC-ND", "Indiana", "open-i"):
        assert phrase not in told, [line for line in told.splitlines() if phrase in line]
