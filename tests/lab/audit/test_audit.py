"""Leaks of every kind planted in a made-up collection, one at a time: each is found, and nothing else is."""

from __future__ import annotations

import gzip
import random
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn
from typer import Typer
from typer.testing import CliRunner

from lingula.errors import InputError
from lingula.labels import Vocabulary
from lingula.openi import scan
from lingula.openi.splits import Split
from lingula.reading.image_file import read_image
from lingula.study import Radiograph
from lingula_lab.audit import Audit, Kind, audit
from lingula_lab.audit.films import FREQUENCIES, SIDE, signs, thumbnail
from lingula_lab.cli.audit import audit as command
from lingula_lab.data.label_file import LabelFile
from lingula_lab.data.make_split import sealed, split_studies

STUDIES = 12
WORDS = [a + b for a in ("ba", "de", "fi", "go", "ku", "la", "mo", "ne") for b in ("bar", "den", "fil", "gor", "kum")]


class Reading:
    """Reads in this process: these files are our own."""

    def read_many(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Radiograph | InputError]]:
        return ((path, read_image(path).radiograph) for path in paths)


def film(number: int) -> Image.Image:
    """A random film with broad and with fine shapes, 160 x 120, the same for the same number."""
    noise = np.random.default_rng(number)
    octaves = [noise.random(shape, np.float32) for shape in ((6, 4), (12, 9), (40, 30))]
    layers = [np.asarray(Image.fromarray(each).resize((120, 160), Image.Resampling.BICUBIC)) for each in octaves]
    return Image.fromarray(np.uint8(np.clip(255 * (0.5 * layers[0] + 0.3 * layers[1] + 0.2 * layers[2]), 0, 255)))


def text(number: int) -> str:
    """Forty made-up words, digits and stops between them, and one that tells of a chest."""
    chosen = random.Random(number)
    return f"{number} heart " + ". ".join(" ".join(chosen.choices(WORDS, k=8)) for _ in range(5)) + "."


def report(number: int, findings: str, term: str = "normal") -> str:
    return (
        f'<eCitation><uId id="CXR{number}"/><AbstractText Label="FINDINGS">{findings}</AbstractText>'
        f'<MeSH><major>{term}</major></MeSH><parentImage id="CXR{number}_IM-0001-1001"/></eCitation>'
    )


@dataclass(frozen=True)
class Made:
    """A made-up collection on disk and its sealed split: studies 1-6 train, 7-9 validation, 10-12 test."""

    root: Path
    split: Split
    labels: LabelFile | None = None

    def film(self, number: int) -> Path:
        return self.root / f"{number}_IM-0001-1001.png"

    def tell(self, number: int, findings: str, term: str = "normal") -> None:
        (self.root / f"{number}.xml").write_text(report(number, findings, term))

    def born(self, dates: dict[int, str]) -> None:
        rows = [f"{n}_IM-0001-1001,{dates.get(n, f'19500{n:02}0'[:7] + '1')},20120101" for n in range(1, STUDIES + 1)]
        with gzip.open(self.root / "nlmcxr_dicom_metadata.csv.gz", "wt") as table:
            table.write("\n".join(["imageid,Patient's Birth Date,Study Date", *rows]))

    def audited(self, split: Split | None = None) -> Audit:
        return audit(split or self.split, scan(self.root), Reading(), labels=self.labels)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    root = tmp_path / "collection"
    root.mkdir()
    ids = tuple(f"CXR{number}" for number in range(1, STUDIES + 1))
    made = Made(root, Split("made-up", 0, ids[:6], ids[6:9], ids[9:]))
    for number in range(1, STUDIES + 1):
        film(number).save(made.film(number))
        made.tell(number, text(number), "Cardiomegaly" if number % 3 == 0 else "normal")
    made.born({})
    table = "".join(f"{n},{n}_IM-0001-1001.dcm.png,Frontal\n" for n in range(1, STUDIES + 1))
    (root / "indiana_projections.csv").write_text("uid,filename,projection\n" + table)
    vocabulary = Vocabulary.load("openi22")
    studies = split_studies(scan(root), vocabulary)
    split = sealed(made.split, studies, vocabulary)
    return Made(root, split, LabelFile.of(split, studies, vocabulary))


def grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


FILMS: dict[str, tuple[Kind, Callable[[Image.Image], Image.Image]]] = {
    "resized": ("same_film", lambda image: image.resize((75, 100))),
    "squashed": ("same_film", lambda image: image.resize((64, 64))),
    "darker": ("same_film", lambda image: Image.fromarray(np.uint8(255 * (grey(image) / 255) ** 1.2))),
    "inverted": ("inverted_film", lambda image: Image.fromarray(255 - grey(image))),
    "mirrored": ("mirrored_film", lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "inverted and mirrored": ("mirrored_film", lambda image: Image.fromarray(255 - grey(image)[:, ::-1])),
}


def found(outcome: Audit) -> set[tuple[str, tuple[str, ...]]]:
    return {(collision.kind, collision.study_ids) for collision in outcome.collisions}


def test_a_clean_split_has_no_collision(made: Made) -> None:
    outcome = made.audited()
    assert (outcome.studies, outcome.films) == (STUDIES, STUDIES)
    assert outcome.collisions == outcome.unchecked == ()


def test_a_study_in_two_parts(made: Made) -> None:
    leaking = replace(made.split, test=(*made.split.test, "CXR2"))
    assert found(made.audited(leaking)) == {("same_study", ("CXR2",))}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("same_text", lambda words: words),
        ("same_words", lambda words: re.sub(r"\d+ ", "XXXX, 7: ", words).replace(".", " -").upper()),
        ("near_text", lambda words: " ".join([*words.split()[:20], "quux", *words.split()[20:]])),
    ],
)
def test_a_shared_text(made: Made, kind: Kind, change: Callable[[str], str]) -> None:
    made.tell(10, change(text(4)))
    assert found(made.audited()) == {(kind, ("CXR4", "CXR10"))}


def test_texts_without_a_word_are_not_shared(made: Made) -> None:
    made.tell(10, "XXXX.")
    made.tell(4, "XXXX.")
    assert found(made.audited()) == set()


def test_an_equal_birth_date_is_found_and_not_told(made: Made) -> None:
    made.born({3: "19420317", 8: "19420317"})
    outcome = made.audited()
    assert found(outcome) == {("birth_date", ("CXR3", "CXR8"))}
    assert "1942" not in str(outcome.to_json())


def test_a_shared_file(made: Made) -> None:
    shutil.copyfile(made.film(5), made.film(12))
    assert found(made.audited()) == {("same_file", ("CXR5", "CXR12"))}


def test_a_reencoded_film(made: Made) -> None:
    made.film(12).unlink()
    film(5).save(made.film(12).with_suffix(".jpg"), quality=40)
    assert found(made.audited()) == {("same_film", ("CXR5", "CXR12"))}


@pytest.mark.parametrize("change", FILMS)
def test_a_changed_film(made: Made, change: str) -> None:
    kind, of = FILMS[change]
    of(film(5)).save(made.film(12))
    assert found(made.audited()) == {(kind, ("CXR5", "CXR12"))}


def test_copies_within_one_part_are_no_collision(made: Made) -> None:
    shutil.copyfile(made.film(5), made.film(6))
    made.tell(6, text(5), "Cardiomegaly")
    assert found(made.audited()) == set()


def test_labels_edited_after_the_seal(made: Made) -> None:
    made.tell(11, text(11), "Cardiomegaly")
    outcome = made.audited()
    assert found(outcome) == {("labels_edited", ())}
    assert "coding" in outcome.collisions[0].detail


def test_an_edited_label_file(made: Made) -> None:
    assert made.labels is not None
    edited = LabelFile.over({**made.labels.codes, "CXR10": ("hernia",)}, Vocabulary.load("openi22"))
    (collision,) = replace(made, labels=edited).audited().collisions
    assert (collision.kind, collision.study_ids) == ("labels_edited", ())
    assert "label file" in collision.detail


def test_what_cannot_be_looked_at_is_said(made: Made) -> None:
    (made.root / "11.xml").unlink()
    Image.new("L", (120, 160), 90).save(made.film(2))
    outcome = replace(made, labels=None).audited(replace(made.split, labels=None))
    assert outcome.collisions == ()
    words = ("CXR11", "blank", "seal", "label file")
    assert [any(word in said for said in outcome.unchecked) for word in words] == [True] * 4


def test_the_command_shows_what_it_found_and_exits_with_1(made: Made, tmp_path: Path) -> None:
    app = Typer()
    app.command()(command)
    file = tmp_path / "split.json"
    made.split.save(file)
    clean = CliRunner().invoke(app, [str(file), "--data", str(made.root), "--workers", "1"])
    assert clean.exit_code == 0, clean.output
    shutil.copyfile(made.film(5), made.film(12))
    leaking = CliRunner().invoke(app, [str(file), "--data", str(made.root), "--workers", "1", "--json"])
    assert leaking.exit_code == 1
    assert '"kind": "same_file"' in leaking.output


def test_signs_are_those_of_the_cosine_transform() -> None:
    thumbnails = np.stack([thumbnail(np.asarray(film(n), np.float32) / 255) for n in range(4)])
    expected = dctn(thumbnails.reshape(-1, SIDE, SIDE), axes=(1, 2))[:, :FREQUENCIES, :FREQUENCIES]
    np.testing.assert_array_equal(signs(thumbnails), np.sign(expected.reshape(4, -1)[:, 1:]))
    np.testing.assert_array_equal(signs(-thumbnails), -signs(thumbnails))
