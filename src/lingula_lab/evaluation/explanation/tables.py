"""What the maps of every method are worth, on the deployed forward: tables for ``lingula evaluate --explanations``.

All films are single frontal films read in image mode, for a label the study is coded with; all reports are read in text
mode. Slow methods (many forward passes a map) are measured on fewer films; every table says how many.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lingula.explanation import METHODS, explain
from lingula.explanation.target import Target, without
from lingula.labels.laterality import laterality
from lingula.model.checkpoint import Checkpoint
from lingula.study import Explanation, Radiograph, Study, TokenScore, Trust
from lingula_lab.evaluation.explanation.anatomy import HEART, LUNGS, mass_inside
from lingula_lab.evaluation.explanation.anatomy import field as region
from lingula_lab.evaluation.explanation.boxes import Boxed
from lingula_lab.evaluation.explanation.faithfulness import (
    CASCADE,
    CELLS,
    Map,
    centre,
    deletion_insertion,
    randomised,
    rank_correlation,
    raster,
)
from lingula_lab.evaluation.explanation.pointing import MEASURES, BoxScores, boxed_labels, score_boxes
from lingula_lab.measures.bootstrap import Resamples, figure
from lingula_lab.measures.table import Cell, Figure, Row, Table

Floats = npt.NDArray[np.float64]
Told = Callable[[str, int, int], None]
SLOWEST = "integrated_gradients"
SLOW = (SLOWEST, "occlusion")
ALIKE = 0.9
"""Mean rank correlation of two labels' maps from which a method is said not to answer for the label."""
ORDERS = 3
"""Random orders of a film's places, whose mean stands for chance."""
GAINS = ("deletion vs random", "deletion vs centre", "insertion vs random", "insertion vs centre")
SHARE = 0.2
"""Share of a report's words that comprehensiveness takes away and sufficiency leaves."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is looked at, drawn with ``seed``.

    Attributes:
        films: for insertion and deletion. slow: films for the slowest method there, films and boxes for slow methods
            elsewhere. randomised: films for the cascade, a third of them for slow methods. pairs: of films for its
            bound. reports: for the words.
    """

    films: int = 80
    slow: int = 20
    randomised: int = 18
    pairs: int = 50
    reports: int = 40
    resamples: int = 1000
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ExplainedFilm:
    """One film and one label it is coded with; ``side`` where the coding names one side for it."""

    study: Study
    label: str
    side: str | None


@dataclass(frozen=True, slots=True, eq=False)
class ExplanationTables:
    """The tables, what ``explain`` shows beside a map, and the completeness error of each method that has one."""

    tables: tuple[Table, ...]
    trust: dict[str, Trust]


def cases_of(study: Study, checkpoint: Checkpoint) -> tuple[ExplainedFilm, ...]:
    """Every abnormal label of a coded study with a frontal film, on its first one."""
    film = next((r for r in study.radiographs if r.view == "frontal"), None)
    if film is None or study.terms is None:
        return ()
    alone, vocabulary = replace(study, radiographs=(film,)), checkpoint.vocabulary
    sides: dict[str, set[str | None]] = defaultdict(set)
    for term in study.terms:
        for row in np.flatnonzero(vocabulary.encode((term,)) == 1):
            sides[vocabulary.codes[row]].add(laterality(term))
    return tuple(
        ExplainedFilm(alone, code, next(iter(said)) if said in ({"left"}, {"right"}) else None)
        for code, said in sorted(sides.items())
        if code != vocabulary.normal
    )


def measure(
    checkpoint: Checkpoint,
    cases: Sequence[ExplainedFilm],
    boxes: Sequence[tuple[Boxed, Radiograph]] = (),
    plan: Plan = Plan(),
    told: Told = lambda stage, done, of: None,
) -> ExplanationTables:
    """Every table. ``cases`` are of studies the model never saw; ``boxes`` with their films, view named."""
    return _Bench(checkpoint, tuple(cases), tuple(boxes), plan, told).run()


@dataclass(slots=True)
class _Bench:
    checkpoint: Checkpoint
    cases: tuple[ExplainedFilm, ...]
    boxes: tuple[tuple[Boxed, Radiograph], ...]
    plan: Plan
    told: Told
    kept: dict[tuple[str, str, str], Explanation] = field(default_factory=dict)

    def run(self) -> ExplanationTables:
        rng = np.random.default_rng(self.plan.seed)
        order = rng.permutation(len(self.cases))
        sample = self._one_a_study(order)[: self.plan.films]
        faithful, deletions = self._faithful(sample)
        sensitivity = self._sensitivity(sample)
        cascade, trust = self._cascade(sample, sensitivity, deletions)
        tables = [faithful, cascade, self._sides(order)]
        tables += [self._boxes()] if self.boxes else []
        tables += [self._words(order), self._lungs(sample), self._published(sample)]
        return ExplanationTables(tuple(tables), trust)

    def _one_a_study(self, order: npt.NDArray[np.int64]) -> list[ExplainedFilm]:
        """One label a study, so that resampled cases are resampled studies."""
        first: dict[str, ExplainedFilm] = {}
        for i in order:
            first.setdefault(self.cases[i].study.study_id, self.cases[i])
        return list(first.values())

    @property
    def _fewer(self) -> str:
        return f"{self.plan.slow} for {' and '.join(SLOW)}"

    # -- maps

    def explanation(self, case: ExplainedFilm, method: str, label: str = "") -> Explanation:
        key = (case.study.radiographs[0].image_id, label or case.label, method)
        if key not in self.kept:
            (self.kept[key],) = explain(
                case.study.image_only(), self.checkpoint, key[1], methods=[method], mode="image", anyway=True
            )
        return self.kept[key]

    def cells(self, case: ExplainedFilm, method: str, label: str = "") -> Map:
        return raster(self.explanation(case, method, label).maps[0])

    def _of(self, method: str, cases: Sequence[ExplainedFilm]) -> Sequence[ExplainedFilm]:
        return cases[: self.plan.slow] if method in SLOW else cases

    def _figure(self, values: Iterable[float]) -> Figure:
        found = np.asarray(list(values), np.float64)
        if not len(found):
            return Figure(float("nan"))
        draws = Resamples.draw(len(found), resamples=self.plan.resamples, seed=self.plan.seed)
        return figure(draws.mean(found), len(found))

    # -- measures

    def _faithful(self, sample: Sequence[ExplainedFilm]) -> tuple[Table, dict[str, tuple[Figure, Figure]]]:
        """Insertion and deletion of every method, of random order and of the centre prior, and completeness."""
        rng = np.random.default_rng(self.plan.seed)
        areas: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for done, case in enumerate(sample, 1):
            self.told("Insertion and deletion", done, len(sample))
            study = case.study.image_only()
            question = Target.ask(self.checkpoint, study, case.label, "image")
            drawn = [deletion_insertion(question, 0, order) for order in rng.random((ORDERS, CELLS, CELLS), np.float32)]
            areas["random"].append((float(np.mean([d for d, _ in drawn])), float(np.mean([i for _, i in drawn]))))
            orders = {m: self.cells(case, m) for m in METHODS if m != SLOWEST or done <= self.plan.slow}
            for name, values in {**orders, "centre": centre()}.items():
                areas[name].append(deletion_insertion(question, 0, values))
        rows, found = [], {}
        for name in (*METHODS, "random", "centre"):
            deletion, insertion = (self._figure(column) for column in zip(*areas[name], strict=True))
            gains = [
                self._figure(sign * (mine[column] - prior[column])
                             for mine, prior in zip(areas[name], areas[other], strict=False))
                for column, sign in ((0, -1), (1, 1))
                for other in ("random", "centre")
            ]  # fmt: skip
            errors = [
                e.completeness_error
                for case in sample
                if (e := self.kept.get((case.study.radiographs[0].image_id, case.label, name)))
                and e.completeness_error is not None
            ]
            median = Figure(float(np.median(errors)), n=len(errors)) if errors else Figure(float("nan"))
            rows.append(Row(name, (deletion, insertion, *gains, median)))
            found[name] = (deletion, insertion)
        about = (
            f"{len(sample)} films, one label each, {self.plan.slow} for {SLOWEST}. The film's {CELLS} x {CELLS} places "
            "are blurred (deletion, lower is better) or shown on a blurred film (insertion, higher is "
            f"better), strongest first; area under the label's calibrated probability. Random: mean of {ORDERS} "
            "orders. Then by how much deletion falls lower, and insertion rises higher, than at random and than from "
            "the centre outward, film by "
            "film: films differ far more than orders do, so that these paired intervals say what the areas' own "
            "cannot; above 0 is better. Completeness: median |sum - change| / |change|."
        )
        columns = ("deletion", "insertion", *GAINS, "completeness")
        return Table(
            "explanation_faithful", "Evidence: insertion and deletion", about, "order", columns, tuple(rows), 4
        ), found

    def _sensitivity(self, sample: Sequence[ExplainedFilm]) -> dict[str, Figure]:
        """Rank correlation of the maps of two labels of one film."""
        codes = [c for c in self.checkpoint.vocabulary.codes if c != self.checkpoint.vocabulary.normal]
        found = {}
        for method in METHODS:
            cases = sample[: self.plan.randomised // 3 if method in SLOW else self.plan.randomised]
            values = []
            for case in cases:
                other = codes[(codes.index(case.label) + len(codes) // 2) % len(codes)]
                values.append(rank_correlation(self.cells(case, method), self.cells(case, method, other)))
            found[method] = self._figure(values)
        return found

    def _cascade(
        self,
        sample: Sequence[ExplainedFilm],
        sensitivity: Mapping[str, Figure],
        areas: Mapping[str, tuple[Figure, Figure]],
    ) -> tuple[Table, dict[str, Trust]]:
        """Likeness to the maps of a model whose parts have random weights, from the output down, and the verdict."""
        likeness: dict[tuple[str, int], list[float]] = defaultdict(list)
        for depth in range(1, len(CASCADE) + 1):
            self.told("Weight randomisation", depth, len(CASCADE))
            broken = randomised(self.checkpoint, depth, self.plan.seed)
            for row, case in enumerate(sample[: self.plan.randomised]):
                slow = row < self.plan.randomised // 3
                for method in METHODS if slow else [m for m in METHODS if m not in SLOW]:
                    (other,) = explain(
                        case.study.image_only(), broken, case.label, methods=[method], mode="image", anyway=True
                    )
                    likeness[method, depth].append(rank_correlation(self.cells(case, method), raster(other.maps[0])))
        rows, trust = [], {}
        for method in METHODS:
            pairs = self._figure(self._pairs(method, sample))
            fallen = [self._figure(likeness[method, depth]) for depth in range(1, len(CASCADE) + 1)]
            alike = sensitivity[method]
            passed = bool(fallen[-1].value <= pairs.value and alike.value < ALIKE)
            verdict = "shown" if passed else "off by default"
            rows.append(Row(method, (alike, pairs, *fallen, verdict)))
            (deletion, insertion), (no_deletion, no_insertion) = areas[method], areas["random"]
            trust[method] = Trust(
                fallen[-1].value, pairs.value, alike.value, deletion.value, no_deletion.value, insertion.value,
                no_insertion.value, deletion.n, passed,
            )  # fmt: skip
        about = (
            f"Spearman's rho of maps on {CELLS} x {CELLS} places. Two labels: of one film (a method at {ALIKE} or more "
            f"does not answer for the label). Pairs: up to {self.plan.pairs} pairs of different films, "
            "same label. Then "
            "the map against that of the model with random weights, from the head down to everything; the last must "
            "not exceed that of pairs. A method that fails either is off by default."
        )
        columns = (
            "two labels",
            "pairs",
            *(f"random {'+' if i else ''}{part[0]}" for i, part in enumerate(CASCADE)),
            "verdict",
        )
        return Table("explanation_randomised", "Evidence: randomisation", about, "method", columns, tuple(rows)), trust

    def _pairs(self, method: str, sample: Sequence[ExplainedFilm]) -> list[float]:
        """Maps of two films for one label, all drawn from the sample."""
        cases = self._of(method, sample)
        pairs = [
            (one, other)
            for i, one in enumerate(cases)
            for other in cases[i + 1 :]
            if one.label == other.label and one.study.study_id != other.study.study_id
        ]
        picks = np.random.default_rng(self.plan.seed).permutation(len(pairs))[: self.plan.pairs]
        return [rank_correlation(*(self.cells(case, method) for case in pairs[i])) for i in picks]

    def _sides(self, order: npt.NDArray[np.int64]) -> Table:
        """Share of one-sided findings whose attribution falls mostly on the side the report names."""
        sided = [self.cases[i] for i in order if self.cases[i].side]
        cells: dict[str, dict[str, list[float]]] = {m: defaultdict(list) for m in METHODS}
        for done, case in enumerate(sided, 1):
            self.told("Sides", done, len(sided))
            for method in METHODS:
                if method not in SLOW or done <= self.plan.slow:
                    cells[method][case.label].append(_on_side(self.cells(case, method), case.side or ""))
        labels = [c for c in self.checkpoint.vocabulary.codes if len(cells[METHODS[0]][c]) >= 5]
        rows = []
        for method in METHODS:
            every = [value for values in cells[method].values() for value in values]
            row: list[Cell] = [self._figure(every)]
            rows.append(Row(method, (*row, *(self._figure(cells[method][code]) for code in labels))))
        about = (
            f"{len(sided)} findings coded on one side only ({self._fewer}), single frontal films "
            "(patient's left is image right). Share with more of the positive attribution in the stated half; the "
            "area alone gives 0.5. Columns: all, and each label with five or more."
        )
        return Table("explanation_sides", "Evidence: the stated side", about, "method", ("all", *labels), tuple(rows))

    def _boxes(self) -> Table:
        """The pointing game, IoU and AUPRC on boxed films, finding by finding."""
        order = np.random.default_rng(self.plan.seed).permutation(len(self.boxes))
        rows = boxed_labels([self.boxes[i] for i in order], self.checkpoint.vocabulary.codes)
        methods = {name: self.plan.slow if name in SLOW else len(rows) for name in METHODS}
        return boxes_table(score_boxes(rows, self._mapped, methods, self.told, **self._drawn), self._fewer)

    def _mapped(self, film: Radiograph, label: str, method: str) -> Map:
        return self.explanation(ExplainedFilm(Study(film.image_id, (film,)), label, None), method).maps[0]

    @property
    def _drawn(self) -> dict[str, int]:
        return {"resamples": self.plan.resamples, "seed": self.plan.seed}

    def _words(self, order: npt.NDArray[np.int64]) -> Table:
        """Comprehensiveness and sufficiency of token scores (DeYoung et al. 2020)."""
        rng = np.random.default_rng(self.plan.seed)
        told = [c for i in order if (c := self.cases[i]).study.report and not c.study.report.is_empty]
        drops: dict[str, list[tuple[float, float]]] = defaultdict(list)
        told = told[: self.plan.reports]
        for done, case in enumerate(told, 1):
            self.told("Words", done, len(told))
            study = case.study.text_only()
            methods = [m for m in ("contribution", "attention", "integrated_gradients")]
            scores = {
                e.method: e.tokens for e in explain(study, self.checkpoint, case.label, methods=methods, mode="text")
            }
            first = next(iter(scores.values()))
            scores["random"] = tuple(replace(token, score=float(rng.random())) for token in first)
            for name, tokens in scores.items():
                drops[name].append(self._drop(study, case.label, tokens))
        rows = [
            Row(name, tuple(self._figure(column) for column in zip(*values, strict=True)))
            for name, values in drops.items()
        ]
        about = (
            f"{len(told)} reports read alone. Fall of the label's probability when the strongest {SHARE:.0%} of the "
            "words are blanked (comprehensiveness, higher is better) and when only they stay "
            "(sufficiency, lower is better)."
        )
        return Table(
            "explanation_words", "Evidence: words", about, "method", ("comprehensiveness", "sufficiency"), tuple(rows)
        )

    def _drop(self, study: Study, label: str, tokens: Sequence[TokenScore]) -> tuple[float, float]:
        assert study.report is not None
        ranked = sorted(tokens, key=lambda token: (-token.score, token.start))
        cut = max(1, round(SHARE * len(ranked)))
        spans = [(token.start, token.end) for token in ranked]
        whole, less, only = (
            self._probability(replace(study, report=without(study.report, gone)), label)
            for gone in ((), spans[:cut], spans[cut:])
        )
        return whole - less, whole - only

    def _probability(self, study: Study, label: str) -> float:
        question = Target.ask(self.checkpoint, study, label, "text")
        logits = question.forward().logits
        return float(self.checkpoint.calibration["text"].probabilities(logits)[0, question.label])

    def _lungs(self, sample: Sequence[ExplainedFilm]) -> Table:
        """Attribution inside the typical place of lungs and heart, against the area of these."""
        inside = {name: region(CELLS * 4, CELLS * 4, shape) for name, shape in (("lungs", LUNGS), ("heart", HEART))}
        rows = []
        for method in METHODS:
            cases = self._of(method, sample)
            maps = [np.kron(self.cells(case, method), np.ones((4, 4), np.float32)) for case in cases]
            masses = ([m for v in maps if not np.isnan(m := mass_inside(v, mask))] for mask in inside.values())
            rows.append(Row(method, tuple(self._figure(values) for values in masses)))
        rows.append(Row("area", tuple(Figure(float(mask.mean())) for mask in inside.values())))
        about = (
            f"{len(sample)} film-label pairs ({self._fewer}). Share of the positive attribution inside ellipses "
            "where lungs and heart usually lie (a geometric guess, not a segmentation), against their share."
        )
        return Table("explanation_lungs", "Evidence: lungs and heart", about, "method", ("lungs", "heart"), tuple(rows))

    def _published(self, sample: Sequence[ExplainedFilm]) -> Table:
        """The published agreement of a query's attention map with its neighbour's, and what it is worth."""
        untrained = randomised(self.checkpoint, len(CASCADE), self.plan.seed)
        vectors = self._embeddings(sample)
        maps = [self.cells(case, "attention") for case in sample]
        blank = [
            raster(explain(c.study, untrained, c.label, methods=["attention"], mode="image", anyway=True)[0].maps[0])
            for c in sample
        ]
        scores = vectors @ vectors.T
        ids = np.array([case.study.study_id for case in sample])
        scores[ids[:, None] == ids[None]] = -np.inf
        nearest, mean = scores.argmax(1), np.mean(maps, 0)
        chance = np.random.default_rng(self.plan.seed).permutation(len(maps))
        pairs = {
            "query and neighbour": [(maps[i], maps[j]) for i, j in enumerate(nearest)],
            "random pairs": [(maps[i], maps[j]) for i, j in enumerate(chance) if i != j],
            "query and mean map": [(values, mean) for values in maps],
            "untrained weights": [(blank[i], blank[j]) for i, j in enumerate(nearest)],
        }
        rows = [
            Row(name, tuple(self._figure(column) for column in zip(*(_agreement(*p) for p in both), strict=True)))
            for name, both in pairs.items()
        ]
        about = (
            "As published: attention map of a query against that of its nearest neighbour (here within the sample). "
            "The other rows show that the figures say little: any two maps of one model look alike."
        )
        columns = ("Pearson", "Spearman", "IoU@5%", "IoU@20%")
        return Table("explanation_published", "Evidence: as published", about, "pairs", columns, tuple(rows))

    def _embeddings(self, sample: Sequence[ExplainedFilm]) -> Floats:
        targets = (Target.ask(self.checkpoint, case.study.image_only(), case.label, "image") for case in sample)
        return np.stack([target.forward().embedding[0].astype(np.float64) for target in targets])


def _on_side(cells: Map, side: str) -> float:
    """1 where more of the positive part lies in the stated half of the film, 0 where less, 0.5 where neither."""
    positive, middle = np.maximum(cells, 0), cells.shape[1] // 2
    right, left = float(positive[:, :middle].sum()), float(positive[:, cells.shape[1] - middle :].sum())
    if left == right:
        return 0.5
    return float((left > right) == (side == "left"))


def _agreement(one: Map, other: Map) -> tuple[float, ...]:
    """Pearson, Spearman, IoU of the strongest 5 % and 20 %."""
    flat = np.ptp(one) == 0 or np.ptp(other) == 0
    pearson = 0.0 if flat else float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
    overlaps = []
    for share in (0.05, 0.2):
        count = max(1, round(share * one.size))
        a, b = (set(np.argsort(-values, axis=None, kind="stable")[:count].tolist()) for values in (one, other))
        overlaps.append(len(a & b) / len(a | b))
    return pearson, rank_correlation(one, other), *overlaps


def boxes_table(found: BoxScores, fewer: str = "") -> Table:
    """Every method and the two maps that look at no film: over all findings, then pointing finding by finding."""
    findings = sorted({row.boxed.finding for row in found.rows})
    rows = []
    for name in found.scores:
        overall = found.figures(name, found.first)
        rows.append(Row(name, (*overall, *(found.figures(name, found.of_finding(each))[0] for each in findings))))
    about = (
        f"{int(found.first.sum())} film-finding pairs with a radiologist's boxes{f' ({fewer})' if fewer else ''}. "
        "Pointing: the strongest place lies in a box. IoU of the strongest tenth of the film; AUPRC of the map's "
        "values. Typical place: the mean box of the same label on the other films. Centre: the middle of the film. "
        "Columns after these: pointing, finding by finding."
    )
    return Table("explanation_boxes", "Evidence: boxes", about, "method", (*MEASURES, *findings), tuple(rows))


def coded_cases(
    checkpoint: Checkpoint, collection: Path, ids: Sequence[str], plan: Plan, told: Told = lambda s, d, n: None
) -> tuple[ExplainedFilm, ...]:
    """The cases of these studies: all one-sided findings, and as many others as insertion and deletion need."""
    from lingula.openi import load_many, scan
    from lingula.reading.sandbox import Sandbox

    wanted = set(ids)
    files = [f for f in scan(collection) if f.study_id in wanted and any(i.view == "frontal" for i in f.images)]
    chosen = np.random.default_rng(plan.seed).permutation(len(files))[: plan.films * 4]
    sided = {
        i for i, f in enumerate(files) if any(laterality(t) in ("left", "right") for t in f.report.terms)
    }  # fmt: skip
    kept = [
        replace(files[i], images=tuple(image for image in files[i].images if image.view == "frontal")[:1])
        for i in sorted(sided | set(chosen.tolist()))
    ]
    found: list[ExplainedFilm] = []
    with Sandbox() as sandbox:
        for done, study in enumerate(load_many(kept, sandbox), 1):
            told("Reading films", done, len(kept))
            found += cases_of(study, checkpoint)
    return tuple(found)


def boxed_films(boxes: Sequence[Boxed]) -> list[tuple[Boxed, Radiograph]]:
    """The films of boxes, read as any file is; all of these are frontal."""
    from lingula.errors import InputError
    from lingula.reading.sandbox import Sandbox

    with Sandbox() as sandbox:
        films = dict(sandbox.read_many(dict.fromkeys(boxed.path for boxed in boxes)))
    for film in films.values():
        if isinstance(film, InputError):
            raise film
    return [(boxed, film.with_view("frontal")) for boxed in boxes if isinstance(film := films[boxed.path], Radiograph)]
