"""Model card and datasheet from the files that an evaluation and its companions wrote; nothing is measured here.

The model card opens with the front matter of the Hugging Face Hub (Mitchell et al. 2019; checklists: CLAIM 2024,
TRIPOD+AI 2024); the datasheet answers the questions of Gebru et al. (2021). Every table and sentence with a figure
names the file it comes from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lingula.errors import InputError
from lingula.model.checkpoint import Checkpoint
from lingula.openi.splits import Split
from lingula.study import DISCLAIMER
from lingula_lab.data.provenance import OPENI, Provenance, named
from lingula_lab.evaluation.ledger import ledger_of, looks
from lingula_lab.measures.classification import LEAST
from lingula_lab.model.checkpoint import trained_model

HEADLINE = (
    ("image-classification", "roc_auc", "classification", "image, frontal", "AUROC macro"),
    ("image-classification", "average_precision", "classification", "image, frontal", "AP macro"),
    ("image-classification", "expected_calibration_error", "classification", "image, frontal", "ECE"),
    ("image-feature-extraction", "precision_at_5", "retrieval_generalization_jaccard", "image → image", "P@5"),
    ("image-feature-extraction", "ndcg_at_10", "retrieval_generalization_jaccard", "image → image", "nDCG@10"),
)
"""Task and metric as the Hub names them, then table, row and column: what the front matter says, films alone."""
COMPANIONS = ("audit", "external", "label_agreement", "label_support")
"""Files that may lie next to the results; their part of a card is left out where they do not."""
OTHER_SOURCES = {
    "nih14": "NIH ChestX-ray14 (Wang et al. 2017)",
    "rsna_normal": "normal films of the RSNA challenge (Shih et al. 2019)",
    "kermany_paediatric": "children (Kermany et al. 2018)",
}
"""Films that a trunk may have learnt from beside the own ones, as they are to be named."""


@dataclass(frozen=True, slots=True)
class Results:
    """A file that holds ``about`` and ``tables``, and how a reader finds it.

    Attributes:
        name: as a document cites it.
    """

    name: str
    about: Mapping[str, Any]
    tables: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path, name: str) -> Results:
        """Read ``results.json`` of an evaluation, or a committed result file of the same form.

        Raises:
            InputError: ``not_found``, or ``bad_request`` when it is neither.
        """
        body = _read(path)
        if not isinstance(body, dict) or not {"about", "tables"} <= body.keys():
            raise InputError(
                "bad_request", f"{path.name} holds no evaluation.", "lingula evaluate writes results.json."
            )
        return cls(name, body["about"], body["tables"])

    def value(self, table: str, row: str, column: str) -> Any:
        """One cell as it stands in the file.

        Raises:
            InputError: ``bad_request`` when the file has no such cell.
        """
        try:
            return self.tables[table]["rows"][row][column]
        except KeyError as error:
            message = f"{self.name} has no {table} / {row} / {column}."
            raise InputError("bad_request", message, "Evaluate again with this version.") from error

    def figure(self, table: str, row: str, column: str, digits: int = 3) -> str:
        """``0.812 (0.790–0.833)``; a dash for what could not be measured; anything else as it is."""
        found = self.value(table, row, column)
        if not isinstance(found, dict):
            return str(found)
        if found["value"] is None:
            return "–"
        text = f"{found['value']:.{digits}f}"
        return text if found["low"] is None else f"{text} ({found['low']:.{digits}f}–{found['high']:.{digits}f})"

    def rows(self, table: str) -> list[str]:
        """Names of a table's rows; none where there is no such table."""
        return list(self.tables[table]["rows"]) if table in self.tables else []

    def cite(self, table: str) -> str:
        return f"Source: `{self.name}`, table `{table}`."


def model_card(results: Results, checkpoint: Checkpoint, companions: Mapping[str, Any]) -> str:
    """The model card, Markdown with front matter.

    Args:
        companions: by name of ``COMPANIONS``, the bodies of those files that there are.

    Raises:
        InputError: ``bad_request`` when the results are those of another model.
    """
    if results.about["model"] != checkpoint.fingerprint:
        message = f"{results.name} speaks of model {results.about['model']}, not of {checkpoint.fingerprint}."
        raise InputError("bad_request", message, "Evaluate this checkpoint first.")
    return _render("card.md", results, checkpoint, companions)


def datasheet(results: Results, checkpoint: Checkpoint, companions: Mapping[str, Any]) -> str:
    """The datasheet of a split of Open-i and its labels, Markdown.

    Raises:
        InputError: ``bad_request`` for studies of another collection, whose questions nobody answered.
    """
    if (collection := collection_of(results.about)) is not OPENI:
        raise InputError(
            "bad_request", f"The datasheet answers for Open-i, not for data whose source is {collection.name}."
        )
    return _render("datasheet.md", results, checkpoint, companions)


def companions_of(path: Path) -> dict[str, Any]:
    """What lies next to a result file."""
    files = {name: path.with_name(f"{name}.json") for name in COMPANIONS}
    return {name: _read(file) for name, file in files.items() if file.is_file()}


def front_matter(results: Results, checkpoint: Checkpoint) -> str:
    """The YAML of the card as the Hub reads it, without its fences."""
    from huggingface_hub import EvalResult, ModelCardData

    about = results.about
    split, collection = about["split"], collection_of(about)
    title = "Open-i" if collection is OPENI else collection.name
    evaluated = []
    for task, metric, table, row, column in HEADLINE:
        cell = results.value(table, row, column)
        evaluated.append(
            EvalResult(
                task_type=task,
                task_name="Findings of a chest film" if "classification" in task else "Similar studies of a chest film",
                dataset_type=collection.code,
                dataset_name=f"{title}, test part of {split['name']} ({about['data']['studies']['test']} studies)",
                dataset_split="test",
                dataset_revision=split["sha256"],
                metric_type=metric,
                metric_name=f"{column}: {row}",
                metric_value=cell["value"],
                metric_args={"low": cell["low"], "high": cell["high"], "n": cell["n"], "source": results.name},
            )
        )
    data = ModelCardData(
        language="en",
        license="other",
        license_name="education-and-research-only",
        library_name="lingula",
        pipeline_tag="image-feature-extraction",
        tags=["chest-x-ray", "radiology", "image-retrieval", "multimodal", "calibration", "not-for-diagnosis"],
        metrics=["roc_auc", "average_precision"],
        datasets=[collection.code],
        base_model=[each for each in checkpoint.training["started_from"].values() if "/" in each] or None,
        model_name=f"lingula {checkpoint.training['preset']}",
        eval_results=evaluated,
    )
    return str(data.to_yaml(line_break="\n"))


def _render(template: str, results: Results, checkpoint: Checkpoint, companions: Mapping[str, Any]) -> str:
    labels = checkpoint.vocabulary.labels
    rare = [label for label in labels if results.value("labels", label.code, "test") < LEAST]
    return _environment().get_template(template).render(
        r=results,
        about=results.about,
        checkpoint=checkpoint,
        training=checkpoint.training,
        started=", ".join(f"{part} `{source}`" for part, source in checkpoint.training["started_from"].items())
        or "random weights",
        collection=collection_of(results.about),
        openi=OPENI,
        architecture=checkpoint.model.architecture,
        parameters=sum(one.numel() for one in trained_model(checkpoint).parameters()),
        labels=labels,
        rare=rare,
        least=LEAST,
        headline=results.about["headline_labels"],
        front=front_matter(results, checkpoint),
        sources=_sources(results, companions),
        others=OTHER_SOURCES,
        looks=len({look.model for look in looks(ledger_of(results.about["split"]["name"]))}),
        has={name: companions.get(name) for name in COMPANIONS},
        same=lambda names: [(name, name) for name in names],
        disclaimer=DISCLAIMER,
    )  # fmt: skip


def _sources(results: Results, companions: Mapping[str, Any]) -> Results | None:
    """Where the table by source stands: in the results themselves, or in the file next to them."""
    if "sources" in results.tables:
        return results
    external = companions.get("external")
    if not external or "sources" not in external.get("tables", {}) or external["model"] != results.about["model"]:
        return None
    return Results(results.name.replace("evaluation.json", "external.json"), {}, external["tables"])


def collection_of(about: Mapping[str, Any]) -> Provenance:
    """The collection that was evaluated, as recorded; results from before it was are of Open-i where their split is."""
    if (recorded := about["data"].get("collection")) is not None:
        return named(recorded["name"], recorded["licence"])
    return OPENI if about["split"]["sha256"] == Split.load("openi-v1").digest else Provenance()


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("lingula_lab.report", "templates"),
        autoescape=False,  # Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("not_found", f"No file {path}.", "lingula evaluate writes results.json.") from error
    except ValueError as error:
        raise InputError("bad_request", f"{path.name} is not JSON: {error}.") from error
