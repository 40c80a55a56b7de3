"""Rankings and what they are worth. A gallery is sorted by study id, so ties stand by ``(-score, study_id)``.

Grades are whole numbers >= 0; relevant is a grade above 0. The ideal order is taken from the whole gallery. The tests
hold every measure against ir-measures (trec_eval) and a naive twin.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Grades = npt.NDArray[np.int64]
Order = npt.NDArray[np.int64]

MEASURES = ("P@1", "P@5", "P@10", "R@10", "AP", "RR", "nDCG@5", "nDCG@10")
"""As ir-measures names them, without the cut where there is none."""
DECIMALS = 6
"""Scores that differ by less are ties, as in the library's search."""


def rank(scores: Doubles, own: npt.NDArray[np.int64] | None = None) -> Order:
    """Gallery rows by falling score for each query, (Q, G), or (Q, G - 1) where the query's own row is left out.

    Args:
        scores: (Q, G), of a gallery sorted by study id.
        own: (Q,) row of each query in the gallery.
    """
    keys = -np.round(scores, DECIMALS) + 0.0
    if own is not None:
        keys[np.arange(len(keys)), own] = np.inf
    order = np.argsort(keys, axis=1, kind="stable")
    return order if own is None else order[:, :-1]


def measure(grades: Grades, order: Order) -> Doubles:
    """Every measure of ``MEASURES`` for each query, (Q, M). Each query must have a relevant study among ``order``.

    P@k: share of relevant studies among the first k. R@k: share of the relevant that are among them. AP: mean
    precision at each relevant study, over the full ranking. RR: 1 / rank of the first relevant one. nDCG@k:
    discounted cumulative gain, grade / log2(1 + rank), over that of the ideal order (Jarvelin and Kekalainen 2002).
    """
    gains = np.take_along_axis(grades, order, 1)  # (Q, G) by rank
    relevant = gains > 0
    total = relevant.sum(1)
    ranks = np.arange(1, gains.shape[1] + 1)
    ap = (relevant * relevant.cumsum(1) / ranks).sum(1) / total
    rr = 1 / (1 + relevant.argmax(1))
    ideal = _ideal(gains, 10)
    dcg = gains[:, :10] * _discounts(min(10, gains.shape[1]))
    ndcg = [dcg[:, :k].sum(1) / (ideal[:, :k]).sum(1) for k in (5, 10)]
    precision = [relevant[:, :k].sum(1) / k for k in (1, 5, 10)]
    return np.stack([*precision, relevant[:, :10].sum(1) / total, ap, rr, *ndcg], 1)


def chance(grades: Grades, own: npt.NDArray[np.int64] | None = None) -> Doubles:
    """What a random order scores on average for each query, (Q, M): exact, not simulated.

    With R relevant of G: P@k = R / G, R@k = k / G; AP after Bestgen (2015); RR from the first relevant one's
    distribution without replacement; nDCG@k = mean grade * sum of discounts / ideal.
    """
    grades = grades.astype(np.float64)
    if own is not None:
        grades[np.arange(len(grades)), own] = 0
    size = grades.shape[1] - (own is not None)
    total = (grades > 0).sum(1).astype(np.float64)
    ranks = np.arange(1, size + 1)
    harmonic = (1 / ranks).sum()
    ap = ((total - 1) / max(size - 1, 1) * (size - harmonic) + harmonic) / size
    nothing_yet = np.maximum(size - total[:, None] - ranks + 1, 0) / (
        size - ranks + 1
    )  # (Q, G) at this rank, given so far
    first = (1 - nothing_yet) * np.c_[np.ones(len(grades)), nothing_yet[:, :-1].cumprod(1)]
    rr = (first / ranks).sum(1)
    ideal, discounts = _ideal(grades, 10), _discounts(min(10, size))
    mean = grades.sum(1) / size
    ndcg = [mean * discounts[:k].sum() / ideal[:, :k].sum(1) for k in (5, 10)]
    share = total / size
    depth = min(10, size)
    return np.stack([share, share, share, np.full(len(grades), depth / size), ap, rr, *ndcg], 1)


def random_scores(queries: int, gallery: int, seed: int) -> Doubles:
    """Random scores, (Q, G)."""
    return np.random.default_rng(seed).random((queries, gallery))


def diversity(targets: npt.NDArray[np.floating], order: Order, k: int = 5) -> Doubles:
    """How different the first k answers are, (Q,): mean over their pairs of 1 - Jaccard overlap of all labels.

    Two studies without a label are alike. targets (G, L), complete.
    """
    labels = targets[order[:, :k]].astype(np.float64)  # (Q, k, L)
    shared = labels @ labels.transpose(0, 2, 1)  # (Q, k, k)
    sizes = labels.sum(2)
    union = sizes[:, :, None] + sizes[:, None] - shared
    overlap = np.divide(shared, union, out=np.ones_like(shared), where=union > 0)
    above = np.triu_indices(labels.shape[1], 1)
    return np.asarray(1 - overlap[:, above[0], above[1]].mean(1), np.float64)


def pair_recall(order: Order, query_keys: npt.NDArray[np.int64], gallery_keys: npt.NDArray[np.int64]) -> Doubles:
    """R@1, R@5, R@10 of a study's own counterpart, (Q, 3): any with the same key counts, since nobody could tell."""
    same = gallery_keys[order[:, :10]] == query_keys[:, None]
    return np.stack([same[:, :k].any(1) for k in (1, 5, 10)], 1).astype(np.float64)


def pair_chance(query_keys: npt.NDArray[np.int64], gallery_keys: npt.NDArray[np.int64]) -> Doubles:
    """What a random order scores, (Q, 3): 1 - C(G - c, k) / C(G, k) with c counterparts."""
    size = len(gallery_keys)
    copies = (query_keys[:, None] == gallery_keys).sum(1)
    missed = np.ones(len(query_keys))
    found = []
    for k in range(min(10, size)):
        missed = missed * np.maximum(size - copies - k, 0) / (size - k)
        found.append(1 - missed)
    return np.stack([found[min(k, size) - 1] for k in (1, 5, 10)], 1)


def pair_chance_once(
    query_keys: npt.NDArray[np.int64], gallery_keys: npt.NDArray[np.int64], seed: int, orders: int = 2000
) -> Doubles:
    """What a random order scores where a key is listed once, (Q, 3): the mean over so many orders."""
    lists = gallery_keys[each_once(rank(random_scores(orders, len(gallery_keys), seed)), gallery_keys)]
    return np.stack([[(lists[:, :k] == key).any(1).mean() for key in query_keys] for k in (1, 5, 10)], 1)


def each_once(order: Order, gallery_keys: npt.NDArray[np.int64], k: int = 10) -> Order:
    """The first k of each order with different keys, (Q, k), as a list in which a text stands once; a gallery with
    fewer keys fills the rest with its last."""
    chosen = []
    for row in order:
        _, firsts = np.unique(gallery_keys[row], return_index=True)
        places = row[np.sort(firsts)[:k]]
        chosen.append(np.pad(places, (0, k - len(places)), mode="edge"))
    return np.stack(chosen)


def _ideal(gains: npt.NDArray[np.number], k: int) -> Doubles:
    """Discounted gains of the ideal order, the first k ranks: (Q, k)."""
    k = min(k, gains.shape[1])
    best = -np.sort(np.partition(-gains, k - 1, axis=1)[:, :k], axis=1)
    return np.asarray(best * _discounts(k), np.float64)


def _discounts(k: int) -> Doubles:
    return 1 / np.log2(np.arange(2, k + 2))
