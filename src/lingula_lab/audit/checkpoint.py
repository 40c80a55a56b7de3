"""A checkpoint: was it trained on this split and these labels, and do its thresholds come from validation?

What it states of itself (split, part it was calibrated on) can only be compared. Its calibration can be
tried: fitted again on each part, it must come out nearest to what is stored when fitted on validation. That
is done for reports alone, in seconds; the calibrations of images are taken to come from the same run. Whether
test studies were trained on, or test scores looked at when the model was chosen, no checkpoint can tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lingula.model.batch import batch_studies
from lingula.model.calibration import Calibration
from lingula.model.checkpoint import Checkpoint
from lingula.openi.collection import StudyFiles
from lingula.openi.splits import Split, SplitName
from lingula.study import Study
from lingula_lab.audit.collision import Collision
from lingula_lab.data.make_split import sealed, split_study
from lingula_lab.training.calibration_fit import fit_calibration

Array = npt.NDArray[np.float32]
BATCH = 32


def checkpoint_collisions(
    checkpoint: Checkpoint, split: Split, studies: Mapping[str, StudyFiles]
) -> Iterator[Collision]:
    """Compare what the checkpoint states of itself, then refit its calibration.

    Args:
        studies: by id, at least all of the split.
    """
    trained_on = checkpoint.training.get("split", {}).get("sha256")
    if trained_on != split.digest:
        yield Collision("other_split", (), f"The checkpoint was trained on split {trained_on}, not on {split.digest}.")
        return
    seal, vocabulary = split.labels, checkpoint.vocabulary
    now = sealed(split, (split_study(files, vocabulary) for files in studies.values()), vocabulary).labels
    if seal and now and seal.vocabulary == now.vocabulary and seal.sha256 != now.sha256:
        yield Collision("labels_edited", (), "The checkpoint's vocabulary gives other labels than the sealed split's.")
    declared = checkpoint.training.get("calibrated_on", "validation")
    refitted = calibrated_on(checkpoint, split, studies)
    for part, how in ((declared, "says so itself"), (refitted, "is the fit on it, tried again on reports")):
        if part != "validation":
            yield Collision("thresholds", (), f"Thresholds come from {part}, not validation: the checkpoint {how}.")
            return


def calibrated_on(checkpoint: Checkpoint, split: Split, studies: Mapping[str, StudyFiles]) -> str:
    """The part, or parts, whose refit comes nearest to the stored calibration of reports."""
    logits: dict[str, Array] = {}
    targets: dict[str, Array] = {}
    parts: tuple[SplitName, ...] = ("validation", "test")
    for name in parts:
        files = [studies[study_id] for study_id in split.ids(name)]
        logits[name] = report_logits(checkpoint, files)
        targets[name] = np.stack([checkpoint.vocabulary.encode(each.report.terms) for each in files])
    both = "validation and test"
    logits[both], targets[both] = (np.concatenate([*values.values()]) for values in (logits, targets))
    return nearest_fit(checkpoint.calibration["text"], logits, targets)


def nearest_fit(stored: Calibration, logits: Mapping[str, Array], targets: Mapping[str, Array]) -> str:
    """The key whose calibration, fitted on its logits and targets (B, L), has thresholds nearest to the stored ones."""

    def distance(name: str) -> float:
        fitted = fit_calibration(logits[name], targets[name])
        return float(np.abs(fitted.threshold - stored.threshold).mean() + np.abs(fitted.shift - stored.shift).mean())

    return min(logits, key=distance)


def report_logits(checkpoint: Checkpoint, files: Sequence[StudyFiles]) -> Array:
    """Logits (B, L) of the reports alone."""
    model = checkpoint.model
    found = []
    for start in range(0, len(files), BATCH):
        studies = [Study(each.study_id, (), each.report.report) for each in files[start : start + BATCH]]
        batch = batch_studies(studies, model.architecture.preprocessing, checkpoint.tokenizer)
        found.append(model(batch, ("text",))["text"].logits)
    return np.concatenate(found)
