"""The command line as a user meets it, on the embedded model and a small made-up collection."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from lingula.cli.main import app
from lingula.explanation import METHODS
from lingula_phantom import generate

runner = CliRunner()


def run(*words: str) -> str:
    result = runner.invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("phantom"), studies=8, seed=3, long_side=256)


@pytest.fixture(scope="module")
def library(collection: Path) -> Path:
    """The phantom studies, imported through the command, with one damaged film among them."""
    victim = sorted((collection / "NLMCXR_dcm").rglob("*.dcm"))[-1]
    victim.write_bytes(victim.read_bytes()[:5000])
    path = collection.parent / "library of phantoms.sqlite"
    answer = json.loads(run("import", "openi", str(collection), "--library", str(path), "--json"))
    assert answer["added"] == 8
    assert [(Path(r["name"]).name, r["code"]) for r in answer["refused"]] == [(victim.name, "truncated")]
    return path


@pytest.fixture(scope="module")
def film(collection: Path) -> Path:
    return sorted((collection / "NLMCXR_dcm").rglob("*1001.dcm"))[0]


def test_search_takes_words_files_or_both(film: Path, library: Path, tmp_path: Path) -> None:
    at = ("--library", str(library), "--json")
    words = json.loads(run("search", "effusion,", "no pneumothorax", *at))
    assert words["understood"] == ["must show effusion", "must not show pneumothorax"]
    assert words["searched"] == 8
    assert words["matching"] >= len(words["neighbours"])
    for neighbour in words["neighbours"]:
        assert neighbour["score"] == pytest.approx(sum(part["score"] for part in neighbour["parts"]), abs=1e-6)
        assert {(each["finding"], each["asked"]) for each in neighbour["evidence"]} == {
            ("effusion", "present"), ("pneumothorax", "absent"),
        }  # fmt: skip
    alike = json.loads(run("search", str(film), "--without", "effusion", "--k", "3", "--all", *at))
    parts = {part["name"] for part in alike["neighbours"][0]["parts"]}
    assert {"image", "text", "shared", "labels"} <= parts  # by the relevance model; and what must not be shown
    assert all(0 < neighbour["odds"] < 1 for neighbour in alike["neighbours"])
    stored = words["neighbours"][0]["study_id"] if words["neighbours"] else alike["neighbours"][0]["study_id"]
    more = json.loads(run("search", "--like", stored, "--more", alike["neighbours"][-1]["study_id"], *at))
    assert stored not in {neighbour["study_id"] for neighbour in more["neighbours"]}
    shown = run("search", "cardiomegaly or effusion", "--explain", "--library", str(library))
    assert "must show one of: cardiomegaly; effusion" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.dcm"], "there is no file"),
        ([], "nothing is asked"),
        (["effusion", "--age", "old"], "no range of ages"),
        (["effusion", "--view", "oblique"], "no view"),
        (["--like", "A", "--like", "B"], "is no file"),
    ],
)
def test_search_refuses_what_it_cannot_mean(words: list[str], message: str) -> None:
    from lingula import InputError

    with pytest.raises(InputError, match=message) as caught:
        run("search", *words)
    assert caught.value.code == "bad_request"


def test_a_slash_makes_no_name_of_a_file(tmp_path: Path) -> None:
    from lingula import InputError
    from lingula.cli.ask import _sorted_out

    questions = ["w/o effusion", "R/O pneumonia", "atelectasis/pneumonia", "s/p CABG"]
    assert _sorted_out(questions) == ([], questions)
    for name in (str(tmp_path / "nowhere"), "./nowhere", "atelectasis/nowhere.png"):
        with pytest.raises(InputError, match="there is no file"):
            _sorted_out([name])


def test_search_by_a_box_answers_with_boxes(film: Path, library: Path, tmp_path: Path) -> None:
    box = ("--region", "60,80,50,40", "--library", str(library))
    answer = json.loads(run("search", str(film), *box, "--mirrored", "--html", str(tmp_path / "box.html"), "--json"))
    assert answer["region"]["x"] == 60
    assert len(answer["neighbours"]) == 5
    assert answer["films_searched"] >= 7
    assert "<rect" in (tmp_path / "box.html").read_text()
    for words, message in [
        ((str(film), "--region", "60,80,50"), "is no box"),
        ((str(film), "effusion", *box), "nothing else"),
        ((str(film), "--region", "6000,0,9,9"), "not inside the film"),
        ((str(film), "--mirrored"), "goes with --region"),
    ]:
        result = runner.invoke(app, ["search", *words])
        assert message in str(result.exception)


def test_an_import_repeated_adds_nothing(collection: Path, library: Path) -> None:
    again = json.loads(run("import", "openi", str(collection), "--library", str(library), "--json"))
    assert (again["added"], again["present"]) == (0, 8)
    assert json.loads(run("library", "verify", "--library", str(library), "--json")) == {"problems": []}


def test_analyze_gives_all_three_answers_and_a_page(film: Path, library: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    words = "FINDINGS: The heart is enlarged. No pleural effusion. IMPRESSION: Cardiomegaly."
    answer = json.loads(
        run("analyze", str(film), "--text", words, "--library", str(library), "--html", str(page), "--json")
    )
    assert answer["mode"] == "joint"
    assert answer["disclaimer"].endswith("Not for diagnostic use.")
    assert len(answer["predictions"]) == 22
    assert all(0 <= p["probability"] <= 1 for p in answer["predictions"])
    scores = [(-n["score"], n["study_id"]) for n in answer["neighbours"]]
    assert len(scores) == 7  # all eight but itself
    assert scores == sorted(scores)
    methods = {e["method"]: e for e in answer["explanations"]}
    assert set(methods) <= set(METHODS)
    shown = {words[t["start"] : t["end"]].lower() for e in methods.values() for t in e["tokens"]}
    assert "heart" in shown
    assert "findings" not in shown
    text = page.read_text()
    assert "Not for diagnostic use" in text
    assert "<script" not in text


def test_predict_on_text_alone_reads_negation(library: Path) -> None:
    def effusion(words: str) -> float:
        predictions = json.loads(run("predict", "--text", words, "--json"))["predictions"]
        return next(p["probability"] for p in predictions if p["label"] == "pleural_effusion")

    present = effusion("FINDINGS: There is a large left pleural effusion. IMPRESSION: Left pleural effusion.")
    absent = effusion("FINDINGS: There is no pleural effusion. The lungs are clear. IMPRESSION: Normal chest.")
    assert present > 2 * absent


def test_predict_of_a_folder_is_a_table_a_row_a_study(film: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "films", tmp_path / "findings.csv"
    (folder / "bad").mkdir(parents=True)
    (folder / "film.dcm").write_bytes(film.read_bytes())
    (folder / "film.txt").write_text("FINDINGS: Large left pleural effusion. IMPRESSION: Effusion.")
    (folder / "bad" / "none.dcm").write_bytes(b"not a film")
    told = json.loads(run("predict", str(folder), "--out", str(out), "--json"))
    assert [(Path(each["name"]).name, each["code"]) for each in told["refused"]] == [("none.dcm", "not_dicom")]
    with out.open() as file:
        (row,) = csv.DictReader(file)
    alone = json.loads(run("predict", str(film), "--report", str(folder / "film.txt"), "--json"))
    assert row["mode"] == alone["mode"] == "joint"
    assert {each["label"]: each["decision"] for each in alone["predictions"]} == {
        each["label"]: row[f"{each['label']} decision"] for each in alone["predictions"]
    }
    told = json.loads(run("predict", str(folder), "--out", str(tmp_path / "findings.parquet"), "--json"))
    assert told["studies"] == 1
    refused = runner.invoke(app, ["predict", str(folder), "--out", str(tmp_path / "findings.xls")])
    assert refused.exception.code == "bad_request"  # type: ignore[union-attr]


def test_explain_saves_maps_in_the_films_own_pixels(film: Path, tmp_path: Path) -> None:
    methods = ("contribution", "attention", "gradcam")
    asked = [word for method in methods for word in ("--method", method)]
    files = ("--npz", str(tmp_path / "maps.npz"), "--png", str(tmp_path / "maps.png"), "--anyway", "--json")
    answer = json.loads(run("explain", str(film), "--label", "cardiomegaly", *asked, *files))
    import pydicom

    assert not answer["explanations"][1]["localisable"]  # attention points nowhere, so it is asked for anyway
    assert [e["method"] for e in answer["explanations"]] == list(methods)
    with Image.open(tmp_path / "maps.png") as figure:
        assert figure.width > 4 * 420

    header = pydicom.dcmread(film, stop_before_pixels=True)
    with np.load(tmp_path / "maps.npz") as maps:
        assert set(maps) == {f"{method}_0" for method in methods}
        assert {maps[name].shape for name in maps} == {(header.Rows, header.Columns)}


def test_a_folder_import_lists_bad_files_and_keeps_good_ones(film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "good.dcm").write_bytes(film.read_bytes())
    (folder / "cut.dcm").write_bytes(film.read_bytes()[:3000])
    (folder / "empty.png").touch()
    (folder / "note.pdf").write_bytes(b"%PDF-1.7 not a film")
    Image.fromarray((np.arange(64 * 80).reshape(80, 64) % 251).astype(np.uint8)).save(folder / "film.png")
    answer = json.loads(run("import", "files", str(folder), "--library", str(tmp_path / "own.sqlite"), "--json"))
    assert answer["added"] == 2
    refused = {Path(r["name"]).name: r["code"] for r in answer["refused"]}
    assert refused == {"cut.dcm": "truncated", "empty.png": "empty_file", "note.pdf": "not_a_report"}


def test_nothing_came_in_leaves_no_library_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "films" / "sub"
    folder.mkdir(parents=True)
    (folder / "\x1b[31m[bold]=evil[=bold].dcm").write_bytes(b"not a film")
    at = ("--library", str(tmp_path / "new" / "library.sqlite"))
    shown = runner.invoke(app, ["import", "files", str(tmp_path / "films"), *at])
    assert shown.exit_code == 1
    assert "sub/·[31m[bold]=evil[=bold].dcm" in shown.stdout.replace("\n", "")
    assert "\x1b[31m" not in shown.stdout
    told = runner.invoke(app, ["import", "files", str(tmp_path / "films"), *at, "--json"])
    assert (told.exit_code, json.loads(told.stdout)["refused"][0]["code"]) == (1, "not_dicom")
    assert not list(tmp_path.rglob("*.sqlite*"))


def test_a_table_of_films_is_imported(film: Path, tmp_path: Path) -> None:
    (tmp_path / "film.dcm").write_bytes(film.read_bytes())
    (tmp_path / "cases.csv").write_text("path,report,ward\nfilm.dcm,There is cardiomegaly.,7\n")
    at = ("--library", str(tmp_path / "own.sqlite"))
    told = json.loads(run("import", "table", str(tmp_path / "cases.csv"), *at, "--json"))
    assert (told["added"], told["images"], told["unused"]) == (1, 1, ["ward"])
    found = json.loads(run("search", "cardiomegaly", *at, "--json"))["neighbours"]
    assert len(found) == 1
    assert found[0]["study_id"].startswith("2.25.")
    near = json.loads(run("analyze", str(tmp_path / "film.dcm"), *at, "--json"))
    assert near["neighbours"] == []  # a study is never its own neighbour, whatever it is called there


def test_errors_are_short_and_have_a_code(tmp_path: Path) -> None:
    """Through the real entry point: no traceback, exit code 1, the same code in words and in JSON."""
    (tmp_path / "x.dcm").write_bytes(b"not a film at all")
    command = [sys.executable, "-m", "lingula", "predict", str(tmp_path / "x.dcm")]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "not_dicom" in told.stderr
    assert "Traceback" not in told.stderr
    body = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=False).stdout)
    assert body["code"] == "not_dicom"


def test_bench_times_both_ways(film: Path, library: Path, tmp_path: Path) -> None:
    figures = json.loads(
        run("bench", str(film), "--library", str(library), "--rounds", "2", "--out", str(tmp_path / "b.json"), "--json")
    )
    assert json.loads((tmp_path / "b.json").read_text()) == figures
    assert (figures["device"], figures["studies"], figures["rounds"]) == ("cpu", 8, 2)
    assert [e["batch"] for e in figures["encode"]] == [1, 16]
    for e in figures["encode"]:
        assert e["images_per_second"] == pytest.approx(1000 * e["batch"] / e["time"]["p50_ms"], abs=0.06)
    assert figures["answer"]["p95_ms"] >= figures["answer"]["p50_ms"] > figures["encode"][0]["time"]["p50_ms"] / 2


def test_a_library_of_another_model_is_refused(library: Path, film: Path, tmp_path: Path) -> None:
    from lingula import ModelError
    from lingula.library import Library

    with Library.create(tmp_path / "other.sqlite", model="other", vocabulary="", labels=(), dimension=256):
        pass
    with pytest.raises(ModelError, match="filled by model other") as caught:
        run("search", str(film), "--library", str(tmp_path / "other.sqlite"))
    assert caught.value.code == "model_mismatch"


@pytest.mark.parametrize("words", [("--report", "-"), ("--text", "-")])
def test_a_report_comes_from_standard_input(words: tuple[str, str]) -> None:
    result = runner.invoke(app, ["predict", *words, "--json"], input="FINDINGS: Large left pleural effusion.")
    assert result.exit_code == 0, result.output
    rows = {row["label"]: row["probability"] for row in json.loads(result.stdout)["predictions"]}
    assert rows["pleural_effusion"] > 0.9
    assert runner.invoke(app, ["predict", *words], input="").exception.code == "empty_file"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "words",
    [
        ("analyze", "no.dcm", "--html", "missing/page.html"),
        ("explain", "no.dcm", "--png", "missing/figure.png"),
        ("explain", "no.dcm", "--npz", "missing/maps.npz"),
        ("bench", "--out", "missing/bench.json"),
        ("library", "backup", "missing/backup.sqlite"),
    ],
)
def test_a_missing_output_folder_is_refused_before_the_work(words: tuple[str, ...]) -> None:
    error = runner.invoke(app, list(words)).exception
    assert error.code == "not_found"  # type: ignore[union-attr]
    assert "missing" in error.message  # type: ignore[union-attr]
