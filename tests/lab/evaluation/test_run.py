"""The whole evaluation of a tiny model on made-up studies."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from lingula.errors import InputError
from lingula.model.checkpoint import Checkpoint
from lingula.openi.splits import Split
from lingula_lab.cli import evaluate as command
from lingula_lab.data.study_set import StudySet
from lingula_lab.evaluation.inputs import Inputs, coded_parts
from lingula_lab.evaluation.run import Evaluation, Request, evaluate
from lingula_lab.evaluation.tables.classification import System, judge
from lingula_lab.measures.bootstrap import Resamples
from lingula_lab.measures.table import Figure, Table
from lingula_lab.model.checkpoint import save_checkpoint
from lingula_lab.report import report
from lingula_lab.report.compare import compare


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def request_(checkpoint: Checkpoint, data: StudySet, split: Split) -> Request:
    return Request(checkpoint, data, split, resamples=100, command="lingula evaluate tiny")


@pytest.fixture(scope="module")
def found(request_: Request, folder: Path) -> Evaluation:
    made = evaluate(request_, folder)
    report.write(made, folder, request_.data, request_.checkpoint.vocabulary)
    return made


def table(evaluation: Evaluation, key: str) -> Table:
    return next(each for each in evaluation.tables if each.key == key)


def test_a_rerun_gives_the_same_bytes(found: Evaluation, request_: Request, folder: Path, tmp_path: Path) -> None:
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    report.write(evaluate(request_, folder), folder, request_.data, request_.checkpoint.vocabulary)
    after = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert before == after
    afresh = evaluate(request_, tmp_path)  # encoded again, too
    assert report.to_json(afresh) == report.to_json(found)


def test_every_figure_has_its_source(found: Evaluation, folder: Path, request_: Request) -> None:
    body = json.loads((folder / "results.json").read_text())
    about = body["about"]
    assert about["model"] == request_.checkpoint.fingerprint
    assert about["split"]["sha256"] == request_.split.digest
    assert about["command"] == "lingula evaluate tiny"
    assert about["bootstrap"]["seed"] == 0
    row = body["tables"]["classification"]["rows"]["image, frontal"]
    assert row["AUROC macro"]["low"] <= row["AUROC macro"]["value"] <= row["AUROC macro"]["high"]
    assert row["AUROC macro"]["n"] == 35


def test_the_tables_stand_beside_chance_and_word_counts(found: Evaluation) -> None:
    overview = table(found, "classification")
    assert overview.figure("prevalence (chance)", "AUROC macro").value == 0.5
    assert overview.figure("TF-IDF of the report", "AUROC macro").value > 0.99
    assert overview.cell("TF-IDF of the report", "reads the report") == "yes"
    for protocol in ("generalization", "historical"):
        for rule in ("jaccard", "idf", "mesh", "normal"):
            rows = [row.name for row in table(found, f"retrieval_{protocol}_{rule}").rows]
            assert {"random ranking", "TF-IDF: report → report", "chance, expected"} <= set(rows)


def test_the_random_ranking_scores_chance(found: Evaluation) -> None:
    for protocol in ("generalization", "historical"):
        made = table(found, f"retrieval_{protocol}_jaccard")
        for measure in ("P@5", "AP", "nDCG@10"):
            random, chance = (made.figure(name, measure) for name in ("random ranking", "chance, expected"))
            assert random.low - 0.02 <= chance.value <= random.high + 0.02


def test_chance_is_named_under_every_rule(found: Evaluation) -> None:
    made = table(found, "chance")
    names = [row.name for row in made.rows]
    assert names[:4] == [
        "shared findings",
        "shared findings, rare ones first",
        "related findings",
        "normal asks for normal",
    ]
    assert names[4] == "any shared label of openi22"
    for name in names:
        for protocol in ("generalization", "historical"):
            expected, drawn = (made.figure(name, f"{protocol}: {what} P@5") for what in ("chance", "random ranking"))
            assert drawn.low - 0.05 <= expected.value <= drawn.high + 0.05


def test_ways_to_calibrate_are_compared_on_held_out_validation(found: Evaluation) -> None:
    made = table(found, "calibration")
    assert len(made.rows) == 3 * 4
    labels = len(found.about["headline_labels"])
    for mode in ("image, frontal + lateral", "report", "image + report"):
        rows = [row.name for row in made.rows if row.name.startswith(f"{mode}: ")]
        assert sum(int(str(made.cell(name, "labels it is best for"))) for name in rows) == labels


def test_a_checkpoint_of_this_split_is_judged_as_it_ships(request_: Request, found: Evaluation, folder: Path) -> None:
    def calibrations(checkpoint: Checkpoint) -> dict[str, object]:
        inputs = Inputs(replace(request_, checkpoint=checkpoint), folder / "encoded", lambda *told: None)
        return {system.name: system.calibration for system in inputs.systems()}

    shipped = replace(request_.checkpoint, training={"split": {"sha256": request_.split.digest}})
    own = calibrations(shipped)
    assert own["image, frontal"] is own["image, frontal + lateral"] is shipped.calibration["image"]
    assert own["report"] is shipped.calibration["text"]
    assert own["image + report"] is shipped.calibration["joint"]
    assert own["image + indication"] is own["TF-IDF of the report"] is None
    assert set(calibrations(request_.checkpoint).values()) == {None}  # made on another split: calibrated afresh


def test_labels_of_test_never_reach_a_threshold(data: StudySet, split: Split, found: Evaluation) -> None:
    """Every test label turned round: thresholds, calibration and conformal bounds stay as they were."""
    turned = data.labels.copy()
    test = data.rows(split.test)
    turned[test] = 1 - turned[test]
    judged = []
    for labels in (data.labels, turned):
        parts = coded_parts(replace(data, labels=labels), split)
        rng = np.random.default_rng(0)
        scores = rng.normal(size=(len(parts.validation), 22)) + parts.validation_targets
        system = System("x", False, type("S", (), {"validation": scores, "test": rng.normal(size=(35, 22))}))
        judged.append(judge(system, parts, Resamples.draw(35, resamples=100), 0))
    one, other = judged
    for name in one.calibration.__slots__:
        assert np.array_equal(getattr(one.calibration, name), getattr(other.calibration, name), equal_nan=True)
    assert np.array_equal(one.conformal.present_from, other.conformal.present_from)
    assert np.array_equal(one.conformal.absent_to, other.conformal.absent_to)
    assert np.array_equal(one.called, other.called)
    assert not np.array_equal(one.auroc, other.auroc)


def test_studies_that_nobody_coded_are_left_out(data: StudySet, split: Split) -> None:
    labels = data.labels.copy()
    labels[data.rows(["S70", "S3"])] = np.nan
    parts = coded_parts(replace(data, labels=labels), split)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (44, 20, 34)
    ids = [data.ids[row] for row in parts.train]
    assert ids == sorted(ids) != sorted(ids, key=lambda one: int(one[1:]))  # as plain strings: ties stand by them
    labels[data.rows(split.validation)] = np.nan
    with pytest.raises(InputError, match="validation"):
        coded_parts(replace(data, labels=labels), split)


def test_too_few_positives_are_refused_before_anything_is_encoded(request_: Request, tmp_path: Path) -> None:
    labels = request_.data.labels.copy()
    labels[request_.data.rows(request_.split.test)] = 0
    with pytest.raises(InputError, match="no label has 10"):
        Inputs(replace(request_, data=replace(request_.data, labels=labels)), tmp_path, lambda what, done, of: None)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_does_not_differ_from_itself(found: Evaluation, folder: Path) -> None:
    assert compare(found, folder, Resamples.draw(35, resamples=100)).rows == ()


def test_a_better_checkpoint_differs_in_pairs(found: Evaluation, folder: Path) -> None:
    targets = found.arrays["targets"]
    better = dict(found.arrays) | {"scores/image, frontal": targets + 0.1 * found.arrays["scores/image, frontal"]}
    made = compare(replace(found, arrays=better), folder, Resamples.draw(35, resamples=100))
    assert [row.name for row in made.rows] == ["image, frontal: AP macro", "image, frontal: AUROC macro"]
    difference = made.figure("image, frontal: AUROC macro", "difference")
    this, other = (made.figure("image, frontal: AUROC macro", name) for name in ("this", "other"))
    assert difference.value == pytest.approx(this.value - other.value)
    assert 0 < difference.low < difference.high
    assert made.figure("image, frontal: AUROC macro", "p").value == pytest.approx(2 / 101)
    with pytest.raises(InputError, match="another split"):
        compare(replace(found, about=found.about | {"split": {"sha256": "x"}}), folder, Resamples.draw(35))


def test_markdown_shows_each_table_and_no_nan(found: Evaluation, folder: Path) -> None:
    text = (folder / "results.md").read_text()
    assert "nan" not in text.lower().split()
    assert all(f"## {each.title}\n" in text for each in report.shown(found.tables))
    assert Figure(0.5, 0.4, 0.6).text(2) == "0.50 [0.40, 0.60]"


def test_the_page_loads_nothing_and_shows_each_table(found: Evaluation, folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert not re.search(r"<script|https?://|url\(|<img|@import", page)
    assert "data:image" in (folder / "retrievals.html").read_text()
    assert page.count("<table") == len(report.shown(found.tables))
    assert page.count("<svg class=") == len(found.plots) + 2


app = Typer()
app.command()(command.evaluate)
app.command()(command.card)
app.command("other")(lambda: None)


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["evaluate", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_scores_a_run_without_a_model(found: Evaluation, folder: Path) -> None:
    runs, qrels = (
        folder / "trec/run-generalization-random-ranking.txt.gz",
        folder / "trec/qrels-generalization-jaccard.txt.gz",
    )
    body = json.loads(run("--run", str(runs), "--qrels", str(qrels), "--resamples", "100", "--json"))
    rows = body["run"]["rows"]
    made = table(found, "retrieval_generalization_jaccard")
    for measure in ("P@5", "AP", "nDCG@10"):
        assert rows["run-generalization-random-ranking"][measure]["value"] == pytest.approx(
            made.figure("random ranking", measure).value, abs=1e-5
        )
        assert rows["chance, expected"][measure]["value"] == pytest.approx(
            made.figure("chance, expected", measure).value, abs=1e-5
        )


def test_the_command_evaluates_and_says_what_is_missing(
    prepared: Path, split: Split, checkpoint: Checkpoint, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    split.save(tmp_path / "split.json")
    checkpoint_folder = tmp_path / "tiny"
    save_checkpoint(checkpoint, checkpoint_folder)
    words = ["--data", str(prepared), "--split", str(tmp_path / "split.json"), "--out", str(tmp_path / "out")]
    body = json.loads(run(str(checkpoint_folder), *words, "--resamples", "100", "--json"))
    assert body["about"]["command"].startswith("lingula evaluate tiny --data STUDY_SET --split split.json")
    assert str(tmp_path) not in json.dumps(body)
    with pytest.raises(InputError, match="--data"):
        run(str(checkpoint_folder))
