"""The classification tables: systems judged on the test studies, with everything chosen on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lingula.labels.vocabulary import Vocabulary
from lingula.model.calibration import NEAR, TELLS, Calibration
from lingula_lab.evaluation.baselines import Parts, Scores
from lingula_lab.measures.bootstrap import Resamples, centred, figure, ratio
from lingula_lab.measures.classification import (
    LEAST,
    brier,
    f1,
    micro_f1,
    supported,
    weighted_areas,
    weighted_auroc,
)
from lingula_lab.measures.reliability import BINS, MISS, Conformal, calibration_error, false_alarms, risk_at
from lingula_lab.measures.table import Cell, Figure, Row, Table
from lingula_lab.training.calibration_fit import fit_calibration

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)


@dataclass(frozen=True, slots=True, eq=False)
class System:
    """Something that scores labels.

    Attributes:
        reads_report: it sees the text from which the labels were coded.
        calibration: the one it ships with; None where it has none for this reading, or not from this validation part.
    """

    name: str
    reads_report: bool
    scores: Scores
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A system on N test studies; measures are (1 + B, L), the sample first and then its resamples.

    Attributes:
        probabilities: (N, L), calibrated on validation. called: at the validation thresholds. unsure: what the
            calibration hands back.
        micro: AUROC, AP and F1 over all decisions on the headline labels, (1 + B, 3).
        alarms: abnormal labels called per normal study, (1 + B,). flags: those of them that are not unsure.
    """

    system: System
    calibration: Calibration
    probabilities: Doubles
    called: Flags
    unsure: Flags
    conformal: Conformal
    auroc: Doubles
    ap: Doubles
    f1: Doubles
    brier: Doubles
    ece: Doubles
    micro: Doubles
    alarms: Doubles
    flags: Doubles


def judge(system: System, parts: Parts, draws: Resamples, normal: int | None) -> Judged:
    """Calibrate on validation unless it ships calibrated, measure on test.

    Args:
        normal: column of the label of studies without a finding.
    """
    scores, goal, weights = system.scores, parts.test_targets.astype(np.float64), draws.counts
    calibration = system.calibration or fit_calibration(scores.validation, parts.validation_targets)
    probabilities = calibration.probabilities(scores.test)
    called, unsure = probabilities >= calibration.threshold, calibration.unsure(probabilities)
    columns = range(goal.shape[1])
    headline = supported(goal)
    abnormal = np.array([label != normal for label in columns])
    healthy = goal[:, normal] == 1 if normal is not None else np.zeros(len(goal), bool)
    areas = [weighted_areas(scores.test[:, i], goal[:, i], weights) for i in columns]
    return Judged(
        system=system,
        calibration=calibration,
        probabilities=probabilities,
        called=called,
        unsure=unsure,
        conformal=Conformal.fit(calibration.probabilities(scores.validation), parts.validation_targets),
        auroc=np.stack([auroc for auroc, _ in areas], 1),
        ap=np.stack([ap for _, ap in areas], 1),
        f1=f1(called, goal, weights),
        brier=brier(probabilities, goal, weights),
        ece=np.stack([calibration_error(probabilities[:, i], goal[:, i], weights) for i in columns], 1),
        micro=_micro(probabilities[:, headline], called[:, headline], goal[:, headline], weights),
        alarms=false_alarms(called, healthy, abnormal, weights),
        flags=false_alarms(called & ~unsure, healthy, abnormal, weights),
    )


def _micro(probabilities: Doubles, called: Flags, goal: Doubles, weights: Doubles) -> Doubles:
    """AUROC, AP and F1 over all (study, label) decisions together; a few resamples at a time, to spare memory."""
    flat, truth, labels = probabilities.ravel(), goal.ravel(), goal.shape[1]
    parts = []
    for start in range(0, len(weights), 64):
        some = weights[start : start + 64].repeat(labels, axis=1)
        parts.append(np.stack(weighted_areas(flat, truth, some), 1))
    return np.concatenate([np.concatenate(parts), micro_f1(called, goal, weights)[:, None]], 1)


def overview(judged: Sequence[Judged], parts: Parts, vocabulary: Vocabulary) -> Table:
    """One row a system."""
    n, headline = len(parts.test), supported(parts.test_targets)
    normal, healthy = _normal(vocabulary), _healthy(parts, vocabulary)
    rows = []
    for each in judged:
        cells: list[Cell] = ["yes" if each.system.reads_report else "no"]
        macro = (each.auroc, each.ap, each.f1)
        cells += [figure(_mean(values, headline), n) for values in macro]
        cells += [figure(values, n) for values in each.micro.T]
        cells += [
            figure(_mean(each.brier, headline), n),
            figure(centred(_mean(each.ece, headline)), n),
            figure(each.auroc[:, normal], n) if normal is not None else Figure(float("nan")),
            figure(each.alarms, healthy),
        ]
        rows.append(Row(each.system.name, tuple(cells)))
    about = (
        f"{n} coded test studies. Macro: mean over the {int(headline.sum())} labels with at least {LEAST} positives in "
        "test; micro: all decisions on them together. Calibration and thresholds (best expected F1) come from "
        f"validation. ECE: {BINS} adaptive bins, mean over labels, interval centred. A system that reads the report "
        "reads the text from which the labels were coded: it is indexing, not prediction."
    )
    columns = (
        "reads the report", "AUROC macro", "AP macro", "F1 macro", "AUROC micro", "AP micro", "F1 micro", "Brier",
        "ECE", "normal/abnormal AUROC", "false alarms per normal study",
    )  # fmt: skip
    return Table("classification", "Findings", about, "system", columns, tuple(rows))


def label_table(judged: Sequence[Judged], parts: Parts, vocabulary: Vocabulary) -> Table:
    """AUROC of every label, one column a system."""
    headline = supported(parts.test_targets)
    rows = []
    for column, label in enumerate(vocabulary.labels):
        support = [_support(targets, column) for targets in (parts.train_targets, parts.validation_targets)]
        positives = _support(parts.test_targets, column)
        figures = [figure(each.auroc[:, column], positives) for each in judged]
        rows.append(Row(label.code, (*support, positives, "yes" if headline[column] else "no", *figures)))
    columns = ("train", "validation", "test", "headline", *(each.system.name for each in judged))
    about = (
        "AUROC of each label; train, validation and test count its positives, and n of an interval is the positives in "
        f"test. Headline labels have at least {LEAST}."
    )
    return Table("labels", "AUROC by label", about, "label", columns, tuple(rows))


def system_table(judged: Judged, parts: Parts, vocabulary: Vocabulary, *, detail: bool = True) -> Table:
    """Everything about one system, label by label."""
    rows = []
    n = len(parts.test)
    for column, label in enumerate(vocabulary.labels):
        measures = (judged.auroc, judged.ap, judged.f1, judged.brier)
        prevalence = Figure(float(parts.test_targets[:, column].mean()), n=n)
        threshold = Figure(float(judged.calibration.threshold[column]), n=len(parts.validation))
        figures = [figure(values[:, column], n) for values in measures]
        figures.append(figure(centred(judged.ece[:, column]), n))
        rows.append(Row(label.code, (_support(parts.test_targets, column), prevalence, threshold, *figures)))
    columns = ("test", "prevalence (chance AP)", "threshold", "AUROC", "AP", "F1", "Brier", "ECE")
    about = f"{n} coded test studies. Thresholds from {len(parts.validation)} validation studies."
    key = "labels_" + "".join(c if c.isalnum() else "_" for c in judged.system.name.lower())
    return Table(key, f"Each label: {judged.system.name}", about, "label", columns, tuple(rows), detail=detail)


def conformal_table(judged: Sequence[Judged], parts: Parts, draws: Resamples) -> Table:
    """Coverage and size of the conformal sets, mean over the headline labels."""
    headline, n = supported(parts.test_targets), len(parts.test)
    rows = [
        Row(each.system.name, tuple(figure(_mean(v, headline), n) for v in _sets(each, parts, draws)))
        for each in judged
    ]
    about = (
        "Class-conditional conformal sets from validation: for each label present, absent, both (not sure) or neither. "
        f"Each class should be covered at {1 - MISS:.0%}. Mean over the headline labels."
    )
    return Table("conformal", "Conformal sets", about, "system", _SETS, tuple(rows))


def conformal_labels(judged: Judged, parts: Parts, draws: Resamples, vocabulary: Vocabulary) -> Table:
    """The same, label by label, for one system."""
    values, n = _sets(judged, parts, draws), len(parts.test)
    rows = [
        Row(label.code, (_support(parts.validation_targets, column), *(figure(v[:, column], n) for v in values)))
        for column, label in enumerate(vocabulary.labels)
    ]
    about = f"With fewer than {int(1 / MISS) - 1} positives in validation, present is always in the set."
    title = f"Conformal sets by label: {judged.system.name}"
    return Table("conformal_labels", title, about, "label", ("positives in validation", *_SETS), tuple(rows))


_SETS = ("covers present", "covers absent", "mean size", "certain", "both", "neither")


def _sets(judged: Judged, parts: Parts, draws: Resamples) -> tuple[Doubles, ...]:
    """The columns of ``_SETS``, each (1 + B, L)."""
    present, absent = judged.conformal.sets(judged.probabilities)
    goal, weights = parts.test_targets.astype(np.float64), draws.counts
    both, neither = present & absent, ~present & ~absent
    shares = [draws.mean(each.astype(np.float64)) for each in (present ^ absent, both, neither)]
    covers_present = ratio(weights @ (present * goal), weights @ goal)
    covers_absent = ratio(weights @ (absent * (1 - goal)), weights @ (1 - goal))
    return covers_present, covers_absent, draws.mean(present.astype(np.float64) + absent), *shares


def abstention_table(judged: Sequence[Judged], parts: Parts, draws: Resamples, vocabulary: Vocabulary) -> Table:
    """Share of wrong decisions among those kept, as the least certain are handed back."""
    n, healthy = len(parts.test), _healthy(parts, vocabulary)
    rows = []
    for each in judged:
        risks = macro_risks(each, parts, draws, COVERAGES)
        headline = supported(parts.test_targets)
        abstained = _mean(draws.mean(each.unsure.astype(np.float64)), headline)
        wrong = (each.called != (parts.test_targets == 1)) & ~each.unsure
        kept = ratio(draws.counts @ wrong.astype(np.float64), draws.counts @ (~each.unsure).astype(np.float64))
        cells = [*(figure(risk, n) for risk in risks.T), figure(abstained, n), figure(_mean(kept, headline), n)]
        cells += [figure(each.alarms, healthy), figure(each.flags, healthy)]
        rows.append(Row(each.system.name, tuple(cells)))
    about = (
        "Share of wrong decisions (validation thresholds) among the share kept, label by label, mean over the headline "
        "labels; certainty is the distance from the threshold in log-odds. The last columns are the abstention that "
        "ships: what lies near the threshold (nearer than nine tenths of the validation studies, and within a factor "
        f"of {NEAR:g} of its odds), and any call of a label whose calls have a likelihood ratio below {TELLS:g} on "
        "validation. Per normal study: abnormal labels called, and those of them that are flagged."
    )
    columns = (
        *(f"risk at {coverage:.0%}" for coverage in COVERAGES), "abstained", "risk when not abstained",
        "calls per normal study", "flags per normal study",
    )  # fmt: skip
    return Table("abstention", "Abstention", about, "system", columns, tuple(rows))


def macro_risks(judged: Judged, parts: Parts, draws: Resamples, coverages: tuple[float, ...]) -> Doubles:
    """Risk at each coverage, mean over the headline labels, (1 + B, coverages)."""
    wrong = judged.called != (parts.test_targets == 1)
    certainty = judged.calibration.certainty(judged.probabilities)
    labels = np.flatnonzero(supported(parts.test_targets))
    found = [risk_at(certainty[:, label], wrong[:, label], draws.counts, coverages) for label in labels]
    return np.asarray(np.mean(found, 0), np.float64)


def subgroup_table(
    judged: Judged, parts: Parts, draws: Resamples, groups: Mapping[str, Flags], vocabulary: Vocabulary
) -> Table:
    """One system in groups of test studies, (N,) flags each."""
    rows, normal = [], _normal(vocabulary)
    scores, goal = judged.system.scores.test, parts.test_targets.astype(np.float64)
    for name, member in groups.items():
        n, labels = int(member.sum()), np.flatnonzero(supported(parts.test_targets[member]))
        if not len(labels):
            continue
        weights = draws.of(member).counts
        inside = np.stack([weighted_auroc(scores[member, i], goal[member, i], weights) for i in labels], 1)
        within = figure(_mean(inside, np.ones(len(labels), bool)), n)
        everywhere = figure(_mean(judged.auroc[:, labels], np.ones(len(labels), bool)), len(goal))
        tell = Figure(float("nan"))
        if normal is not None:
            tell = figure(weighted_auroc(scores[member, normal], goal[member, normal], weights), n)
        rows.append(Row(name, (n, len(labels), within, everywhere, tell)))
    about = (
        f"{judged.system.name}. Macro over the labels with at least {LEAST} positives in the group; beside it the same "
        "labels over all test studies. Groups of different kinds overlap."
    )
    columns = ("studies", "labels", "AUROC macro", "the same labels, all studies", "normal/abnormal AUROC")
    return Table("subgroups", "Subgroups", about, "group", columns, tuple(rows))


def _mean(values: Doubles, labels: Flags) -> Doubles:
    """Mean over some labels in each resample, (1 + B,); labels that a resample could not measure are left out."""
    chosen = values[:, labels]
    known = ~np.isnan(chosen)
    return ratio(np.where(known, chosen, 0).sum(1), known.sum(1).astype(np.float64))


def _support(targets: npt.NDArray[np.floating], column: int) -> int:
    return int(targets[:, column].sum())


def _normal(vocabulary: Vocabulary) -> int | None:
    return vocabulary.codes.index(vocabulary.normal) if vocabulary.normal else None


def _healthy(parts: Parts, vocabulary: Vocabulary) -> int:
    """Test studies in which nothing was found; 0 where no label says so."""
    normal = _normal(vocabulary)
    return int(parts.test_targets[:, normal].sum()) if normal is not None else 0
