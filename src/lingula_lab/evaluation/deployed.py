"""Does the library that answers users hold what the tables measured?

The tables are made from a study set, a library from the files themselves. Both claim one pixel path and one
tokenisation; here the vectors of the same studies are held against each other. They are not the same bit by bit: a
study set keeps films in 8 bits, a library is filled from them unrounded.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from lingula.library import Library
from lingula.openi.splits import SplitName
from lingula.study import Mode
from lingula_lab.evaluation.encode import EncodedPart, Reading
from lingula_lab.measures.retrieval import rank
from lingula_lab.measures.table import Figure, Row, Table

MODES: dict[Mode, Reading] = {"image": "image", "text": "report", "joint": "image_report"}
FIRST = 10


def library_table(library: Library, encoded: Mapping[SplitName, EncodedPart]) -> Table:
    """For each mode: studies in both, how alike their vectors are, and whether test studies find the same ones first.

    Args:
        library: filled by the same model (``Library.open`` refuses another).
    """
    rows = []
    for mode, reading in MODES.items():
        cosines: list[float] = []
        shared = Figure(float("nan"))
        for part in ("train", "test"):
            ours = dict(zip(encoded[part].ids, encoded[part].embeddings[reading], strict=True))
            theirs = library.vectors(encoded[part].ids, mode)
            ids = sorted(study_id for study_id in theirs if ours[study_id].any())
            if not ids:
                continue
            one, other = (np.stack([vectors[study_id] for study_id in ids]) for vectors in (ours, theirs))
            cosines += (one * other).sum(1).tolist()
            if part == "test":
                shared = Figure(_shared_first(one, other), n=len(ids))
        if cosines:
            cells = (len(cosines), Figure(min(cosines)), Figure(float(np.median(cosines))), shared)
            rows.append(Row(mode, cells))
    about = (
        "Vectors of the library, made from the files, against those of the tables, made from the study set: cosine of "
        f"the same study. Last column: how many of the first {FIRST} test studies that a test study finds are the same."
    )
    columns = ("studies in both", "least cosine", "median cosine", f"shared of the first {FIRST}")
    return Table("library", "What the library holds", about, "mode", columns, tuple(rows), digits=6)


def _shared_first(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Mean share of the first answers that both rankings have."""
    own = np.arange(len(one))
    first, second = (rank((v @ v.T).astype(np.float64), own)[:, :FIRST] for v in (one, other))
    return float((first[:, :, None] == second[:, None]).any(2).mean())
