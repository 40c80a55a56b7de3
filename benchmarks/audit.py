"""Plant sixteen leaks of as many kinds beside a copy of the collection and count those that the audit finds.

    python benchmarks/audit.py COLLECTION

Ten lie in the collection itself, six in labels, library and checkpoint. Links, copies and edited reports live in a
temporary folder that is removed. Whatever is reported on the shipped split, or of anything not planted, is a false
alarm. The figures behind the film thresholds are measured here, too.
"""

from __future__ import annotations

import csv
import gzip
import io
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from defusedxml.ElementTree import fromstring
from PIL import Image

from lingula.labels.vocabulary import Vocabulary
from lingula.library import Entry, Library
from lingula.model.architecture import Architecture
from lingula.model.calibration import Calibration
from lingula.model.tokenizer import ReportTokenizer
from lingula.openi import scan
from lingula.openi.collection import Collection, StudyFiles
from lingula.openi.splits import Split
from lingula.reading.archive import members
from lingula.reading.sandbox import Sandbox
from lingula.study import MODES, Study
from lingula_lab.audit import Audit, audit
from lingula_lab.audit.checkpoint import checkpoint_collisions, report_logits
from lingula_lab.audit.films import CORRELATION, DISTANCE, SIDE, FilmRecord, read_films, signs, thumbnail
from lingula_lab.audit.library import library_collisions, model_collisions
from lingula_lab.audit.run import edited_label_file
from lingula_lab.data.label_file import LabelFile
from lingula_lab.data.make_split import SplitStudy, group, split_studies
from lingula_lab.model.checkpoint import save_checkpoint, trained_checkpoint
from lingula_lab.model.study_model import StudyModel
from lingula_lab.training.calibration_fit import fit_calibration
from lingula_lab.training.fit import Preset
from machine import write_result

Picture = Image.Image
FILMS: dict[str, tuple[str, str, Callable[[Picture], Picture]]] = {
    "re-encoded film": ("same_film", "JPEG", lambda film: film),
    "resized film": ("same_film", "PNG", lambda film: film.resize((150, 110), Image.Resampling.BILINEAR)),
    "inverted film": ("inverted_film", "JPEG", lambda film: Image.fromarray(255 - np.asarray(film))),
    "mirrored film": ("mirrored_film", "JPEG", lambda film: film.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
}
TEXTS: dict[str, tuple[str, Callable[[str], str]]] = {
    "same text": ("same_text", lambda text: text),
    "same words": ("same_words", lambda text: text.upper().replace(".", " !  3 ")),
    "near text": ("near_text", lambda text: " ".join(w for n, w in enumerate(text.split()) if n % 20 != 10)),
}
Planted = dict[str, tuple[str, frozenset[str]]]
"""By name, the kind and the studies that the audit must report."""


def copied(root: Path, out: Path) -> None:
    """The collection again: films as links, reports and tables as files to be edited."""
    for path in scan(root).images:
        (out / path.path.name).symlink_to(path.path)
    for name in ("images.csv", "indiana_projections.csv", "nlmcxr_dicom_metadata.csv.gz"):
        shutil.copyfile(root / name, out / name)
    for member in members(root / "NLMCXR_reports.tgz"):
        (out / Path(member.name).name).write_bytes(member.content)


def plant(out: Path, split: Split, pairs: Iterator[tuple[StudyFiles, StudyFiles]]) -> tuple[Planted, Split]:
    """Ten leaks, each from a train study of its own to a test study of its own."""
    planted: Planted = {}

    def pair(name: str, kind: str) -> tuple[StudyFiles, StudyFiles]:
        source, target = next(pairs)
        planted[name] = kind, frozenset((source.study_id, target.study_id))
        return source, target

    for name, (kind, change) in TEXTS.items():
        _tell(out, *pair(name, kind), change)
    source, target = pair("same file", "same_file")
    _put(out, target, source.images[0].path.read_bytes())
    for name, (kind, form, change_film) in FILMS.items():
        source, target = pair(name, kind)
        saved = io.BytesIO()
        change_film(Image.open(source.images[0].path).convert("L")).save(saved, form, quality=40)
        _put(out, target, saved.getvalue())
    source, target = pair("equal birth date", "birth_date")
    _be_born(out, source, target)
    source, _ = next(pairs)
    planted["same study"] = "same_study", frozenset((source.study_id,))
    return planted, replace(split, test=(*split.test, source.study_id))


def _tell(out: Path, source: StudyFiles, target: StudyFiles, change: Callable[[str], str]) -> None:
    files = [out / f"{each.study_id.removeprefix('CXR')}.xml" for each in (source, target)]
    said, told = (fromstring(file.read_bytes()) for file in files)
    texts = {part.get("Label"): part.text or "" for part in said.iter("AbstractText")}
    for part in told.iter("AbstractText"):
        if part.get("Label") in ("FINDINGS", "IMPRESSION"):
            part.text = change(texts.get(part.get("Label"), ""))
    files[1].write_bytes(ElementTree.tostring(told))


def _put(out: Path, target: StudyFiles, content: bytes) -> None:
    file = out / target.images[0].path.name
    file.unlink()  # the link, not the film
    file.write_bytes(content)


def _be_born(out: Path, source: StudyFiles, target: StudyFiles) -> None:
    file = out / "nlmcxr_dicom_metadata.csv.gz"
    with gzip.open(file, "rt", encoding="utf-8-sig", newline="") as table:
        rows = list(csv.DictReader(table))
    number = target.study_id.removeprefix("CXR")
    for row in rows:
        if row["imageid"].removeprefix("CXR").split("_")[0] == number:
            row["Patient's Birth Date"] = source.images[0].birth_date
    with gzip.open(file, "wt", newline="") as table:
        writer = csv.DictWriter(table, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def lone_pairs(
    collection: Collection, split: Split, studies: Sequence[SplitStudy], known: Audit
) -> Iterator[tuple[StudyFiles, StudyFiles]]:
    """A train and a test study after another, each alone in its group, dated, with a long text."""
    involved = {study_id for collision in known.collisions for study_id in collision.study_ids}
    alone = {m[0].study_id for m in group(studies) if len(m) == 1 and m[0].birth_date and len(m[0].text.split()) > 40}
    files = {each.study_id: each for each in collection if each.study_id in alone - involved}
    train, test = ([files[study_id] for study_id in ids if study_id in files] for ids in (split.train, split.test))
    return zip(train, test, strict=False)


def model_leaks(files: dict[str, StudyFiles], split: Split, folder: Path) -> tuple[dict[str, bool], int]:
    """Whether leaks of library and checkpoint are found, and false alarms on a clean one; the model is untrained."""
    vocabulary = Vocabulary.load("openi22")
    architecture = Architecture.from_json({**Preset.load("tiny").architecture, "labels": len(vocabulary)})
    tokenizer = ReportTokenizer.train(
        [files[study_id].report.report.text for study_id in split.train[:300]],
        sections=architecture.sections, length=architecture.tokens, vocabulary=architecture.text["vocab_size"],
    )  # fmt: skip
    identity = dict.fromkeys(MODES, Calibration.identity(len(vocabulary)))
    told = {"split": {"name": split.name, "sha256": split.digest}}
    made = trained_checkpoint(StudyModel(architecture).eval(), tokenizer, vocabulary, identity, told)
    checkpoint = save_checkpoint(made, folder / "model")

    def kinds(ids: Sequence[str], told: dict[str, Any] = told) -> list[str]:
        chosen = [files[study_id] for study_id in ids]
        targets = np.stack([vocabulary.encode(each.report.terms) for each in chosen])
        fitted = {**identity, "text": fit_calibration(report_logits(checkpoint, chosen), targets)}
        found = checkpoint_collisions(replace(checkpoint, calibration=fitted, training=told), split, files)
        return [collision.kind for collision in found]

    options = {"vocabulary": vocabulary.digest, "labels": vocabulary.codes, "dimension": 4}
    with Library.create(folder / "gallery", model="another", **options) as library:
        for study_id in (split.train[0], split.test[0]):
            study = Study(study_id, (), files[study_id].report.report)
            library.add_many([Entry(study, {"text": np.array([1, 0, 0, 0], np.float32)}, None)])
        parts = {split.train[0]: "train", split.test[0]: "test"}
        found = {
            "gallery holds a query": [c.kind for c in library_collisions(library, "train", [], parts)] == ["gallery"],
            "library of another model": [c.kind for c in model_collisions(library, "this")] == ["other_model"],
            "checkpoint of another split": kinds(split.validation, {"split": {"sha256": "0"}}) == ["other_split"],
            "thresholds from test": kinds(split.test) == ["thresholds"],
        }
    return found, len(kinds(split.validation))


def edited_file(split: Split) -> bool:
    """Whether one label turned in the published file is found, and the file as it is passes."""
    labels = LabelFile.load(split.name)
    codes = {**labels.codes, split.test[0]: ("hernia",)}
    edited = LabelFile.over(codes, Vocabulary.load(labels.seal.vocabulary))
    assert list(edited_label_file(split, labels)) == []
    return [collision.kind for collision in edited_label_file(split, edited)] == ["labels_edited"]


def hash_figures(films: Sequence[FilmRecord], collection: Collection) -> dict[str, Any]:
    """How far films of different studies are from each other, and copies from their films."""
    thumbnails = np.stack([film.thumbnail for film in films])
    mirrored = thumbnails.reshape(-1, SIDE, SIDE)[:, :, ::-1].reshape(thumbnails.shape)
    owner = np.unique([film.study_id for film in films], return_inverse=True)[1]
    hashes = signs(thumbnails)
    bits = hashes.shape[1]
    nearest, near, most, pairs = float(bits), 0, 0.0, 0
    for others in (thumbnails, mirrored):
        turned = signs(others)
        for start in range(0, len(films), 512):
            rows = slice(start, start + 512)
            different = owner[rows, None] < owner[None]
            distance = np.where(different, (bits - np.abs(hashes[rows] @ turned.T)) / 2, bits)
            pairs += int(different.sum())
            nearest = min(nearest, float(distance.min()))
            for i, j in np.argwhere(distance <= DISTANCE):
                near, most = near + 1, max(most, abs(float(thumbnails[start + i] @ others[j])))
    paths = {image.image_id: image.path for image in collection.images}
    chosen = np.random.default_rng(0).choice(len(films), 200, replace=False)
    copies = {}
    for name, (kind, form, change) in FILMS.items():
        distances, correlations = [], []
        for i in chosen:
            saved = io.BytesIO()
            change(Image.open(paths[films[i].image_id]).convert("L")).save(saved, form, quality=40)
            copy = thumbnail(np.asarray(Image.open(saved), np.float32) / 255)
            film = mirrored[i] if kind == "mirrored_film" else thumbnails[i]
            distances.append((bits - abs(float((signs(copy[None]) @ signs(film[None]).T)[0, 0]))) / 2)
            correlations.append(abs(float(copy @ film)))
        copies[name] = {"most_distant": max(distances), "least_correlation": round(min(correlations), 4)}
    return {
        "bits": bits,
        "threshold_distance": DISTANCE,
        "threshold_correlation": CORRELATION,
        "different_studies": {
            "pairs": pairs,
            "nearest": nearest,
            "within_threshold": near,
            "most_correlation_there": round(most, 4),
        },
        "copies_of_200_films": copies,
    }


def main() -> None:
    root = Path(sys.argv[1])
    split, vocabulary = Split.load("openi-v1"), Vocabulary.load("openi22")
    collection = scan(root)
    studies = split_studies(collection, vocabulary)
    with Sandbox(2, longest=256) as sandbox, tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        shipped = audit(split, scan(root), sandbox, labels=LabelFile.load(split.name))
        seconds = time.perf_counter() - started

        out = Path(folder) / "collection"
        out.mkdir()
        copied(root, out)
        pairs = lone_pairs(collection, split, studies, shipped)
        planted, leaking = plant(out, split, pairs)
        _, edited = next(pairs)
        report = out / f"{edited.study_id.removeprefix('CXR')}.xml"
        report.write_text(report.read_text().replace("<major>", "<major>Hernia, Hiatal</major><major>", 1))
        reported = [c for c in audit(leaking, scan(out), sandbox).collisions if c not in shipped.collisions]
        keyed = {(collision.kind, frozenset(collision.study_ids)) for collision in reported}
        found = {name: expected in keyed for name, expected in planted.items()}
        found["coding edited"] = ("labels_edited", frozenset()) in keyed
        found["label file edited"] = edited_file(split)
        of_models, alarms = model_leaks({each.study_id: each for each in collection}, split, Path(folder))
        found |= of_models
        false = [
            *shipped.collisions,
            *(c for c in reported if (c.kind, frozenset(c.study_ids)) not in planted.values() and c.study_ids),
        ]
        members = {study.study_id for study in studies}
        taking_part = [each for each in collection if each.study_id in members]
        films, _ = read_films(taking_part, sandbox)
    body = {
        "split": {"name": split.name, "sha256": split.digest},
        "studies": shipped.studies,
        "films": shipped.films,
        "seconds": round(seconds, 1),
        "planted": found,
        "false_alarms": [collision.to_json() for collision in false],
        "shipped_split": [collision.to_json() for collision in shipped.collisions],
        "unchecked": list(shipped.unchecked),
        "film_hash": hash_figures(films, collection),
    }
    write_result(
        "audit",
        body,
        headline={
            "audit_planted_found": {"value": sum(found.values()), "unit": "leaks"},
            "audit_planted_total": {"value": len(found), "unit": "leaks"},
            "audit_false_alarms": {"value": len(false) + alarms, "unit": "collisions", "n": shipped.studies},
            "audit_seconds": {"value": round(seconds, 1), "unit": "s", "n": shipped.films},
        },
    )


if __name__ == "__main__":
    main()
