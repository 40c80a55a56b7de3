"""The retrieval tables: both protocols, every way to ask, each relevance rule, compared with chance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.sparse import issparse

from lingula.labels.vocabulary import Vocabulary
from lingula.openi.splits import SplitName
from lingula_lab.measures.bootstrap import Resamples, centred, figure, figures, ratio
from lingula_lab.measures.relevance import RelevanceRule
from lingula_lab.measures.reliability import calibration_error
from lingula_lab.measures.retrieval import (
    MEASURES,
    chance,
    diversity,
    each_once,
    measure,
    pair_chance,
    pair_chance_once,
    pair_recall,
    random_scores,
    rank,
)
from lingula_lab.measures.table import Cell, Figure, Row, Table

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Order = npt.NDArray[np.int64]
Vectors = Any
"""A dense array or a sparse matrix, (N, D) of unit-norm rows."""

Protocol = Literal["generalization", "historical"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
PROTOCOL_ABOUT = {
    "generalization": "Test studies ask test studies; a study never answers itself.",
    "historical": "Test studies ask training studies.",
}
GALLERY: dict[Protocol, SplitName] = {"generalization": "test", "historical": "train"}
EXPECTED = "chance, expected"
ONCE = ", each text once"
"""Of a list of reports in which studies with the same text are folded into one."""


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """A way to ask. Vectors of unit norm; queries are test studies, galleries are sorted by study id.

    Attributes:
        reads: which of query and gallery reads the report ("query", "gallery", "both", "none").
        galleries: by protocol. able: (N,) which test studies have what the query needs.
        given: by protocol, scores (N, G) of a search that compares more than vectors. odds: likewise, the probability
            that a study is relevant; empty where a search gives none.
    """

    name: str
    reads: str
    queries: Vectors
    galleries: Mapping[Protocol, Vectors]
    able: Flags
    given: Mapping[Protocol, Doubles] = field(default_factory=dict, repr=False)
    odds: Mapping[Protocol, Doubles] = field(default_factory=dict, repr=False)

    def scores(self, protocol: Protocol) -> Doubles:
        """(N, G): cosines, less the correction for hubness; or what was given."""
        if protocol in self.given:
            return self.given[protocol]
        gallery = self.galleries[protocol]
        product = self.queries @ gallery.T
        return np.asarray(product.toarray() if issparse(product) else product, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Everything one search found under one protocol; values are NaN for studies that cannot ask.

    Attributes:
        values: by rule, (N, M) of ``MEASURES``. diversity: (N,).
        any_in_5: by rule, (N,) whether anything relevant is among the first five.
        odds, relevant: (N, 5) of the first five, their odds, and whether they share an abnormal label or are normal
            as the query is; None where a search gives no odds.
    """

    search: str
    reads: str
    values: dict[str, Doubles] = field(repr=False)
    diversity: Doubles = field(repr=False)
    any_in_5: dict[str, Doubles] = field(repr=False)
    odds: Doubles | None = field(default=None, repr=False)
    relevant: Flags | None = field(default=None, repr=False)

    def odds_error(self, draws: Resamples) -> Figure:
        """Expected calibration error of the odds of the first five, over all queries that could ask."""
        if self.odds is None or self.relevant is None:
            return Figure(float("nan"))
        there = ~np.isnan(self.odds).any(1)
        weights = np.repeat(draws.counts[:, there], self.odds.shape[1], 1)
        told, truth = self.odds[there].ravel(), self.relevant[there].ravel().astype(np.float64)
        return figure(centred(calibration_error(told, truth, weights)), int(there.sum()))


@dataclass(frozen=True, slots=True, eq=False)
class CodedStudies:
    """Coded studies of one part of a split: N ids, sorted as plain strings, and complete targets (N, L)."""

    ids: tuple[str, ...]
    targets: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What rankings of one protocol are judged by.

    Attributes:
        queries, answers: study ids, N and G, each sorted as plain strings.
        targets: (N, L) of the queries. gallery: (G, L).
        own: (N,) each query's row in the gallery, or None.
        grades: by rule, (N, G). asks: by rule, (N,) studies with something to find. expected: by rule, (N, M).
    """

    protocol: Protocol
    queries: tuple[str, ...]
    answers: tuple[str, ...]
    targets: Floats
    gallery: Floats
    own: Order | None
    grades: dict[str, Order] = field(repr=False)
    asks: dict[str, Flags] = field(repr=False)
    expected: dict[str, Doubles] = field(repr=False)

    @classmethod
    def of(
        cls, protocol: Protocol, queries: CodedStudies, gallery: CodedStudies, rules: Sequence[RelevanceRule]
    ) -> Ground:
        """Queries are test studies; the gallery is the same, or another part."""
        targets, found = queries.targets, gallery.targets
        own = np.arange(len(targets)) if protocol == "generalization" else None
        grades, asks, expected = {}, {}, {}
        for rule in rules:
            graded = rule.grades(targets, found)
            if own is not None:
                graded[own, own] = 0
            ask = rule.asks(targets) & (graded > 0).any(1)
            values = np.full((len(targets), len(MEASURES)), np.nan)
            if ask.any():
                values[ask] = chance(graded[ask], None if own is None else own[ask])
            grades[rule.name], asks[rule.name], expected[rule.name] = graded, ask, values
        return cls(protocol, queries.ids, gallery.ids, targets, found, own, grades, asks, expected)

    def under(self, rule: str) -> Ground:
        """The same with this rule alone."""
        grades, asks, expected = {rule: self.grades[rule]}, {rule: self.asks[rule]}, {rule: self.expected[rule]}
        return replace(self, grades=grades, asks=asks, expected=expected)

    def judge(self, search: Search, order: Order) -> Ranking:
        """order (N, G) or (N, G - 1), of every test study."""
        values, any_in_5 = {}, {}
        for rule, grades in self.grades.items():
            ask = self.asks[rule] & search.able
            values[rule] = np.full((len(order), len(MEASURES)), np.nan)
            if ask.any():
                values[rule][ask] = measure(grades[ask], order[ask])
            among = (np.take_along_axis(grades, order[:, :5], 1) > 0).any(1)
            any_in_5[rule] = np.where(ask, among, np.nan)
        spread = np.where(search.able, diversity(self.gallery, order), np.nan)
        ranking = Ranking(search.name, search.reads, values, spread, any_in_5)
        if (odds := search.odds.get(self.protocol)) is None or not {"jaccard", "normal"} <= set(self.grades):
            return ranking
        relevant = np.take_along_axis((self.grades["jaccard"] + self.grades["normal"]) > 0, order[:, :5], 1)
        first = np.where(search.able[:, None], np.take_along_axis(odds, order[:, :5], 1), np.nan)
        return replace(ranking, odds=first, relevant=relevant)


def ranked(ground: Ground, searches: Iterable[Search]) -> Iterator[tuple[Search, Doubles, Order]]:
    """Each search with its scores and order, one at a time: they are large."""
    for search in searches:
        scores = search.scores(ground.protocol)
        yield search, scores, rank(scores, ground.own)


def retrieval_table(ground: Ground, rankings: Sequence[Ranking], rule: RelevanceRule, draws: Resamples) -> Table:
    """One row a search, and what chance gives."""
    expected = ground.expected[rule.name]
    rows = []
    for ranking in rankings:
        values = ranking.values[rule.name]
        means = draws.mean(values)
        base = draws.mean(np.where(np.isnan(values), np.nan, expected))
        n = int((~np.isnan(values).any(1)).sum())
        lift = ratio(means, base)
        spread = draws.mean(np.where(np.isnan(values[:, 0]), np.nan, ranking.diversity))
        any_in_5 = figure(draws.mean(ranking.any_in_5[rule.name]), n)
        cells = (
            *figures(means, n), *figures(lift[:, _LIFTED], n), figure(spread, n), any_in_5,
            _normal(ranking, draws), ranking.odds_error(draws),
        )  # fmt: skip
        rows.append(Row(ranking.search, (ranking.reads, *cells)))
    n = int((~np.isnan(expected).any(1)).sum())
    blank = (Figure(1.0),) * len(_LIFTED)
    nothing = (Figure(float("nan")),) * 4
    rows.append(Row(EXPECTED, ("none", *figures(draws.mean(expected), n), *blank, *nothing)))
    about = (
        f"{PROTOCOL_ABOUT[ground.protocol]} {rule.about} {n} queries; {len(ground.gallery)} studies in the gallery. "
        "Queries without anything relevant, and those that lack what a search reads, are left out. Diversity@5: mean "
        "of 1 - label overlap over the pairs of the first five. Any in 5: share of queries with something relevant "
        "among the first five. Normal: of normal queries, the share of normal studies among the first five. Odds ECE: "
        "calibration error of the odds that answers carry, over the first five of all queries, normal ones too."
    )
    lifts = (f"{MEASURES[column]} / chance" for column in _LIFTED)
    columns = ("reads the report", *MEASURES, *lifts, "diversity@5", *NEIGHBOURS)
    title = f"Similar studies: {ground.protocol}, {RULE_TITLES[rule.name]}"
    return Table(f"retrieval_{ground.protocol}_{rule.name}", title, about, "search", columns, tuple(rows))


def _normal(ranking: Ranking, draws: Resamples) -> Figure:
    """Of normal queries, the share of normal studies among the first five."""
    values = ranking.values.get("normal", np.full((1, len(MEASURES)), np.nan))[:, MEASURES.index("P@5")]
    there = int((~np.isnan(values)).sum())
    return figure(draws.mean(values), there) if there else Figure(float("nan"))


NEIGHBOURS = ("any in 5", "normal", "odds ECE")
_LIFTED = (MEASURES.index("P@5"), MEASURES.index("nDCG@10"))
RULE_TITLES = {
    "jaccard": "shared findings",
    "idf": "shared findings, rare ones first",
    "mesh": "related findings",
    "normal": "normal asks for normal",
}


def by_label_table(ground: Ground, rankings: Sequence[Ranking], draws: Resamples, vocabulary: Vocabulary) -> Table:
    """nDCG@10 of the queries that have each abnormal label."""
    column = MEASURES.index("nDCG@10")
    rows = []
    for label in vocabulary.abnormal:
        has = ground.targets[:, vocabulary.codes.index(label)] == 1
        cells = [_among(each.values["jaccard"][:, column], has, draws) for each in rankings]
        cells.append(_among(ground.expected["jaccard"][:, column], has, draws))
        rows.append(Row(label, tuple(cells)))
    about = f"nDCG@10 over the queries that have the label. {PROTOCOL_ABOUT[ground.protocol]} Grade: Jaccard overlap."
    columns = (*(each.search for each in rankings), EXPECTED)
    title = f"Similar studies by label: {ground.protocol}"
    return Table(f"retrieval_{ground.protocol}_labels", title, about, "label", columns, tuple(rows))


def _among(values: Doubles, has: Flags, draws: Resamples) -> Figure:
    chosen = np.where(has, values, np.nan)
    return figure(draws.mean(chosen), int((~np.isnan(chosen)).sum()))


def pair_table(searches: Sequence[Search], keys: Order, draws: Resamples, seed: int) -> Table:
    """A study's own other half among the test studies: any identical text counts. keys (N,) number the texts."""
    rows = []
    for search in searches:
        order = rank(search.scores("generalization"))
        orders = {search.name: order}
        if search.reads == "gallery":
            orders[f"{search.name}{ONCE}"] = each_once(order, keys)
        for name, each in orders.items():
            found = pair_recall(each, keys, keys)
            found[~search.able] = np.nan
            rows.append(Row(name, figures(draws.mean(found), int(search.able.sum()))))
    expected = {EXPECTED: pair_chance(keys, keys), f"{EXPECTED}{ONCE}": pair_chance_once(keys, keys, seed)}
    rows += [Row(name, figures(draws.mean(found), len(keys))) for name, found in expected.items()]
    about = (
        f"{len(keys)} test studies. Found is the study's own report or film, or one whose findings and impression are "
        f"word for word the same ({len(keys) - len(set(keys.tolist()))} repeat another); the study itself is in the "
        "gallery here. Each text once: as the product lists reports, with the studies that share a text folded into "
        "the nearest of them. Else each study has a rank of its own."
    )
    return Table("pairs", "Film and report of one study", about, "search", ("R@1", "R@5", "R@10"), tuple(rows))


def chance_table(judges: Mapping[str, Mapping[Protocol, Ground]], draws: Resamples, seed: int) -> Table:
    """What a random ranking scores under each rule, expected and in one random draw.

    Args:
        judges: by the rule in words, one protocol's ground with that rule alone.
    """
    rows = []
    for name, grounds in judges.items():
        cells: list[Cell] = []
        for protocol in PROTOCOLS:
            ground = grounds[protocol]
            (rule,) = ground.grades
            ask = ground.asks[rule]
            order = rank(random_scores(len(ask), len(ground.answers), seed), ground.own)
            found = np.full(len(ask), np.nan)
            if ask.any():
                found[ask] = measure(ground.grades[rule][ask], order[ask])[:, _P5]
            n = int(ask.sum())
            cells += [n, figure(draws.mean(ground.expected[rule][:, _P5]), n), figure(draws.mean(found), n)]
        rows.append(Row(name, tuple(cells)))
    about = (
        "P@5 of a ranking that knows nothing: the expected value, and what one random ranking scored. Figures of "
        "different rules cannot be compared; each only with its own chance."
    )
    columns = tuple(
        f"{protocol}: {what}" for protocol in PROTOCOLS for what in ("queries", "chance P@5", "random ranking P@5")
    )
    return Table("chance", "What chance scores", about, "relevant is", columns, tuple(rows))


_P5 = MEASURES.index("P@5")
