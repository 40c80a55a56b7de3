"""split, prepare, graph, train, adapt: from a collection to a checkpoint."""

from __future__ import annotations

import os
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lingula.cli import output
from lingula.cli.options import Json
from lingula.errors import InputError

if TYPE_CHECKING:
    from lingula.model.checkpoint import Checkpoint

TrainDevice = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "bf16"]
Labels = Annotated[str, typer.Option("--labels", help="Label vocabulary: a shipped one by name, or a file.")]


def split(
    path: Annotated[Path, typer.Argument(help="The collection, or a table of studies (CSV, Parquet).")],
    out: Annotated[Path, typer.Argument(help="Split file to write.")],
    seed: Annotated[int, typer.Option(help="Order in which equal groups are dealt.")] = 0,
    name: Annotated[str, typer.Option(help="Name of the split; default: that of its file.")] = "",
    earlier: Annotated[str | None, typer.Option(help="Keep this one, leaving out what its parts share.")] = None,
    labels: Labels = "openi22",
    json: Json = False,
) -> None:
    """Deal the studies with a frontal film and text to train, validation and test; no text or birth date is shared.

    Their label codes are written next to it, as NAME.labels.json, so that others can score a ranking.

    Example: [bold]lingula split ~/openi openi-v1.json[/]
    """
    from lingula.labels.vocabulary import Vocabulary
    from lingula.openi import scan
    from lingula.openi.splits import SPLITS, Split
    from lingula.reading.sandbox import Sandbox
    from lingula_lab.data.label_file import LabelFile, label_path
    from lingula_lab.data.make_split import make_split, mended, sealed, split_studies
    from lingula_lab.data.manifest import is_table, split_of, table_studies

    vocabulary = Vocabulary.load(labels)
    if is_table(path):
        with Sandbox(2) as sandbox:
            told = list(table_studies(path, sandbox, vocabulary))
        studies = [each.study for each in told]
        dealt = split_of(told, name=name or out.stem, seed=seed)
    else:
        studies = split_studies(scan(path), vocabulary)
        dealt = make_split(studies, name=name or out.stem, seed=seed)
    made = mended(Split.load(earlier), studies) if earlier else dealt
    made = sealed(made, studies, vocabulary)
    made.save(out)
    LabelFile.of(made, studies, vocabulary).save(label_path(out), made)
    counts = {part: len(made.ids(part)) for part in SPLITS}
    if json:
        return output.write_json({"sha256": made.digest, **counts})
    output.out.print(", ".join(f"{part} {count}" for part, count in counts.items()) + f"\nsha256 {made.digest}")


def prepare(
    path: Annotated[Path, typer.Argument(help="The collection, or a table of studies (CSV, Parquet).")],
    out: Annotated[Path, typer.Argument(help="Folder for the study set.")],
    preset: Annotated[
        str, typer.Option(help="Prepare films as this preset, shipped or a file, reads them.")
    ] = "compact",
    workers: Annotated[int, typer.Option(help="Reading processes.")] = 2,
    collection_name: Annotated[
        str, typer.Option("--collection-name", help="What the collection is; default: told by its identifiers.")
    ] = "",
    licence: Annotated[str, typer.Option(help="Under which it may be used; goes with --collection-name.")] = "",
    labels: Labels = "openi22",
    json: Json = False,
) -> None:
    """Read a collection once, through the one pixel path, into a study set for training.

    Example: [bold]lingula prepare ~/openi studies[/]
    """
    from lingula.labels.vocabulary import Vocabulary
    from lingula.openi import load_many, scan
    from lingula.reading.preprocess import Preprocessing
    from lingula.reading.sandbox import Sandbox
    from lingula_lab.data.manifest import is_table, prepare_table
    from lingula_lab.data.provenance import named
    from lingula_lab.data.study_set import StudySet
    from lingula_lab.training.fit import Preset

    preprocessing = Preprocessing(**Preset.load(preset).architecture["preprocessing"])
    vocabulary = Vocabulary.load(labels)
    source = named(collection_name, licence) if collection_name or licence else None
    with Sandbox(workers) as sandbox, output.progress_bar("Reading") as progress:
        if is_table(path):
            table = prepare_table(
                path,
                out,
                sandbox,
                vocabulary,
                preprocessing,
                provenance=source,
                progress=lambda done: progress(done, 0),
            )
            made, refused = table.data, table.refused
        else:
            collection = scan(path)
            studies, total = load_many(collection, sandbox), len(collection.studies)
            made, refused = (
                StudySet.build(
                    studies, out, vocabulary, preprocessing, lambda done: progress(done, total), provenance=source
                ),
                (),
            )
    body = {"studies": len(made.ids), "films": len(made.films), "refused": refused}
    if json:
        return output.write_json(body)
    output.out.print(f"{body['studies']} studies, {body['films']} films, {len(refused)} files refused: {out}")
    for each in refused[:50]:
        output.out.print(f"{each.code}  {output.plain(str(each.path))}", highlight=False)


def adapt(
    model: Annotated[str, typer.Argument(help="Checkpoint, or an image backbone: its name or folder.")],
    table: Annotated[Path, typer.Argument(help="Table of studies with labels (CSV, Parquet); or a study set.")],
    out: Annotated[Path, typer.Argument(help="Checkpoint folder to write.")],
    base: Annotated[str, typer.Option(help="With a backbone: the checkpoint whose text side is kept.")] = "compact",
    split: Annotated[str | None, typer.Option(help="Split file; default: the table's own, or by patient.")] = None,
    labels: Labels = "openi22",
    library: Annotated[str, typer.Option(help="Also import the table into this new library: a gallery.")] = "",
    workers: Annotated[int, typer.Option(help="Reading processes.")] = 2,
    json: Json = False,
) -> None:
    """Fit a model to studies of your own in minutes: frozen encoders, a ridge head, calibration, AUROC on validation.

    Example: [bold]lingula adapt compact cases.csv my-model --library mine.sqlite[/]
    Example: [bold]lingula adapt microsoft/rad-dino cases.csv my-model[/]
    """
    from lingula.labels.vocabulary import Vocabulary
    from lingula.model.checkpoint import SHIPPED, load_checkpoint
    from lingula.openi.splits import Split
    from lingula.reading.sandbox import Sandbox
    from lingula_lab.data.manifest import prepare_table
    from lingula_lab.data.study_set import StudySet
    from lingula_lab.training.adapt import adapt as fit
    from lingula_lab.training.adapt import preprocessing_of

    is_checkpoint = model in SHIPPED or Path(model, "manifest.json").is_file()
    known = load_checkpoint(model if is_checkpoint else base)
    backbone = None if is_checkpoint else model
    vocabulary, studies = Vocabulary.load(labels), table if table.is_dir() else out.with_name(f"{out.name}.studies")
    if studies is not table:
        with Sandbox(workers) as sandbox, output.progress_bar("Reading") as progress:
            reads = preprocessing_of(known, backbone)
            prepare_table(table, studies, sandbox, vocabulary, reads, progress=lambda done: progress(done, 0))
    parts = Split.load(split or studies / "split.json")
    with output.err.status("Fitting") as status:
        made = fit(
            known,
            StudySet.load(studies),
            parts,
            out,
            vocabulary=vocabulary,
            backbone=backbone,
            told=lambda step: status.update(f"Fitting: {step}"),
        )
    if library and table.is_file():
        _fill(library, made.checkpoint, table, workers)
    auroc = {mode: round(value, 4) for mode, value in made.auroc.items()}
    fingerprint = made.checkpoint.fingerprint
    body = {"checkpoint": out, "fingerprint": fingerprint, "validation_auroc": auroc, "strength": made.strength}
    if json:
        return output.write_json({**body, "library": library or None, "studies": studies})
    output.out.print(", ".join(f"AUROC {mode} {value}" for mode, value in auroc.items()) + " (validation)")
    output.out.print(f"Checkpoint {fingerprint}: {out}; measure it: lingula evaluate {out} --data {studies} "
                     f"--split {split or studies / 'split.json'}", markup=False)  # fmt: skip


def convert(
    file: Annotated[Path, typer.Argument(help="Pickled weights: .bin, .pt, .pth, .ckpt.")],
    out: Annotated[Path, typer.Argument(callback=output.writable, help="The safetensors file to write.")],
    json: Json = False,
) -> None:
    """Take the tensors out of pickled weights, in a confined child process that runs nothing the file names.

    Example: [bold]lingula convert pytorch_model.bin model.safetensors[/]
    """
    from lingula_lab.training.convert import convert as run

    made = run(file, out)
    if json:
        return output.write_json(made)
    output.out.print(f"{made.tensors} tensors, {made.values} values: {out}", highlight=False)
    if made.not_followed:
        output.out.print(f"Not followed: {output.plain(', '.join(made.not_followed[:20]))}", highlight=False)


def _fill(library: str, checkpoint: Checkpoint, table: Path, workers: int) -> None:
    """Import the table into a library of the new model."""
    from lingula.ingest.batches import destination
    from lingula.ingest.table import import_table
    from lingula.reading.sandbox import Sandbox

    bar = output.progress_bar("Importing")
    with destination(checkpoint, library) as opened, Sandbox(workers) as sandbox, bar as progress:
        import_table(opened, checkpoint, table, sandbox, progress=progress)


def graph(
    ontologies: Annotated[Path, typer.Argument(help="Folder with MeSH, Disease Ontology and RadLex tables.")],
    data: Annotated[Path, typer.Argument(help="Study set, see prepare; its training studies are read.")],
    out: Annotated[Path, typer.Argument(callback=output.writable, help="File of places to write (safetensors).")],
    model: Annotated[str, typer.Option(help="TransE, TransH, RotatE or CompGCN.")] = "TransE",
    split: Annotated[str, typer.Option(help="Split file, or a shipped one by name.")] = "openi-v1",
    epochs: Annotated[int, typer.Option(min=1, help="Over the graph's facts.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the embedding.")] = 0,
    labels: Labels = "openi22",
    json: Json = False,
) -> None:
    """Place the labels in a knowledge graph of MeSH, Disease Ontology and RadLex, as training studies were coded.

    Example: [bold]lingula graph ontologies studies places.safetensors --model RotatE[/]
    """
    from lingula.labels.vocabulary import Vocabulary
    from lingula.openi.splits import Split
    from lingula_lab.data.study_set import StudySet
    from lingula_lab.graph import build_triples, place_labels

    vocabulary, parts, studies = Vocabulary.load(labels), Split.load(split), StudySet.load(data)
    if not len(studies.rows(parts.train)):
        message = f"The study set at {data} has no training study of {parts.name}."
        raise InputError("bad_request", message, "Name the split of this set with --split.")
    triples = build_triples(vocabulary, (studies.terms[row] for row in studies.rows(parts.train)), ontologies)
    with output.progress_bar("Placing") as progress:
        places = place_labels(
            triples, vocabulary.codes, model=model, split=parts.digest, epochs=epochs, seed=seed, progress=progress
        )
    places.save(out)
    body = {"triples": places.triples, "entities": len({e for t in triples for e in (t.head, t.tail)}), "model": model}
    output.write_json(body) if json else output.out.print(
        f"{body['triples']} facts, {body['entities']} entities: {out}"
    )


def train(
    data: Annotated[Path, typer.Argument(help="Study set, see prepare.")],
    out: Annotated[Path, typer.Argument(help="Checkpoint folder to write.")],
    preset: Annotated[str, typer.Option(help="A shipped preset or a file.")] = "compact",
    split: Annotated[str, typer.Option(help="Split file, or a shipped one by name.")] = "openi-v1",
    run: Annotated[
        Path | None, typer.Option(help="Folder for the resumable state; default: beside the checkpoint.")
    ] = None,
    image: Annotated[str | None, typer.Option(help="Image backbone to start from: a name or a local folder.")] = None,
    text: Annotated[str | None, typer.Option(help="Text backbone to start from: a name or a local folder.")] = None,
    trunk: Annotated[
        Path | None, typer.Option(help="Or a safetensors file: MobileNetV1, a timm Swin, or a MedCLIP checkpoint.")
    ] = None,
    films: Annotated[
        Path | None,
        typer.Option(help="Folder of films of other sources (films.csv); without it the own train its trunk."),
    ] = None,
    graph: Annotated[Path | None, typer.Option(help="Places of the labels, see graph; for stages that use it.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
    batch: Annotated[int | None, typer.Option(help="Studies a step, in place of the preset's.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Most epochs of each stage, in place of the preset's.")] = None,
    rate: Annotated[float | None, typer.Option(help="Peak learning rate, in place of the preset's.")] = None,
    device: Annotated[TrainDevice, typer.Option(help="Where to train: a GPU if there is one, or as named.")] = "auto",
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="bf16 computes in half the memory; weights stay in single precision. By default the preset's, on a "
            "GPU and on processors that have it."
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads for arithmetic.")] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Delete the resumable state when the model is saved.")] = False,
    labels: Labels = "openi22",
    json: Json = False,
) -> None:
    """Train a preset, calibrate it on validation and save the checkpoint. Stopped training goes on.

    Example: [bold]lingula train studies my-model --preset compact --trunk mobilenet_v1.safetensors[/]

    Several GPUs: [bold]accelerate launch -m lingula train …[/]; several processes on a CPU: [bold]torchrun
    --nproc-per-node 2 -m lingula train …[/] with ACCELERATE_USE_CPU=true.
    """
    if device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"
    import torch

    from lingula.labels.vocabulary import Vocabulary
    from lingula.openi.splits import Split
    from lingula_lab.data.study_set import StudySet
    from lingula_lab.graph.places import Places
    from lingula_lab.training.fit import Preset, TrainingProgress, train_checkpoint
    from lingula_lab.training.loop import halves_quickly

    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "bad_request", "no GPU that this torch can use.", "Leave --device out, or install its CUDA build."
        )
    state = run or out.with_name(out.name + ".run")
    if threads:
        torch.set_num_threads(threads)
    speaks = os.environ.get("RANK", "0") == "0"  # of several processes, one
    with output.progress_bar("Training") if speaks else nullcontext(lambda done, of: None) as progress:

        def show(at: TrainingProgress) -> None:
            if not speaks:
                return None
            if at.epoch_done is None:
                return progress(at.epoch * at.steps + at.step, 0 if not at.steps else _total(at))
            done = at.epoch_done
            figures = ", ".join(f"{mode} {value:.3f}" for mode, value in done.auroc.items())
            place = f"stage {at.stage + 1}/{at.stages} epoch {done.epoch + 1}"
            output.err.print(
                f"{place}: loss {done.loss:.4f}, AUROC on validation {figures}"
                + (" [green]best[/]" if done.best else "")
            )

        half = precision == "bf16" if precision else None
        if half is None and not halves_quickly(cpu=device == "cpu"):
            half = False
        chosen = Preset.load(preset).starting(image, text)
        stages = chosen.adjusted(batch=batch, epochs=epochs, rate=rate, half=half)

        def _total(at: TrainingProgress) -> int:
            return stages.stages[at.stage].epochs * at.steps

        checkpoint = train_checkpoint(
            stages,
            StudySet.load(data),
            Split.load(split),
            out,
            vocabulary=Vocabulary.load(labels),
            run=state,
            trunk=trunk,
            films=films,
            graph=Places.load(graph) if graph else None,
            seed=seed,
            progress=show,
        )
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    if not speaks:
        return
    size = sum(file.stat().st_size for file in state.rglob("*") if file.is_file())
    if clean:
        shutil.rmtree(state, ignore_errors=True)
    body = {"checkpoint": str(out), "fingerprint": checkpoint.fingerprint, "run_bytes": size, **checkpoint.training}
    if json:
        return output.write_json(body)
    output.out.print(f"Checkpoint {checkpoint.fingerprint}: {out}")
    said = "was deleted" if clean else "may be deleted now (--clean does)"
    output.out.print(f"The resumable state, {size / 1e6:.0f} MB in {state}, {said}.")
