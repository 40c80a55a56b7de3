"""The patches of a library's films: what each shows beyond what is average at its place, and where else that is seen.

A patch is compared by what is left of its features when the mean of all films of its view at the same place is taken
away, so that neither the place nor the usual anatomy matches, along the main axes of that rest. Derived data: kept in a
folder, some hundred films a file, each file sealed with the model and the basis; what is missing or damaged is made
anew, whatever was stopped goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lingula.library.private_file import make_private, make_private_folder

Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.float16]
AXES = 48
"""Numbers kept of a patch."""
REACH = 0.1
"""How far, in shares of the film's side, a match may lie from the place asked about: patients and films differ."""
FEW = 50
"""Films below which the mean of their features tells something of each."""
_PRIOR = 2
"""Films that the mean over all places counts for in the mean of one place; it matters where films are few."""


class FilmKey(NamedTuple):
    """A film of a library: its study, its row there, the digest of its file."""

    study_id: str
    row: int
    digest: str


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """How features become the numbers that are compared.

    Attributes:
        average: (views, P, C) float32, mean features of each place. axes: (C, d) float32, d <= ``AXES``: the main
            axes of what is left, each scaled to a spread of 1, so that no common variation drowns a rare one.
        films: how many it was learned from.
    """

    average: Floats = field(repr=False)
    axes: Floats = field(repr=False)
    films: int

    @classmethod
    def learned(cls, features: Halves, views: npt.NDArray[np.int64], kinds: int) -> Self:
        """From (N, P, C) features of N films and their views, (N,) in [0, kinds); the same films give the same."""
        count, places, _ = features.shape
        whole = features.mean(0, dtype=np.float32)  # (P, C)
        average = np.empty((kinds, *whole.shape), np.float32)
        for view in range(kinds):
            mine = features[views == view]
            mean = mine.mean(0, dtype=np.float32) if len(mine) else whole
            share = np.float32(len(mine) / (len(mine) + _PRIOR) if len(mine) else 1)
            average[view] = share * mean + (1 - share) * mean.mean(0)
        every = max(1, round(count * places / 20_000))  # so many patches tell the axes
        rest = np.concatenate(
            [f[i % every :: every].astype(np.float32) - average[v, i % every :: every]
             for i, (f, v) in enumerate(zip(features, views, strict=True))]
        )  # fmt: skip
        spread, vectors = np.linalg.eigh(rest.T @ rest / len(rest))
        kept = np.flatnonzero(spread > 1e-6 * spread[-1])[::-1][:AXES]  # a direction without spread tells nothing
        return cls(average, np.ascontiguousarray(vectors[:, kept] / np.sqrt(spread[kept])), count)

    def reduced(self, features: Floats, views: npt.NDArray[np.int64]) -> Halves:
        """(N, P, C) to (N, P, d) float16."""
        return ((features - self.average[views]) @ self.axes).clip(-1e3, 1e3).astype(np.float16)

    @property
    def digest(self) -> str:
        digest = hashlib.sha256(repr((self.average.shape, self.axes.shape)).encode())
        digest.update(self.average.tobytes() + self.axes.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """Every film of a library as (N, P, d) float16; ``views`` (N,) in the order of ``VIEWS``."""

    keys: tuple[FilmKey, ...]
    views: npt.NDArray[np.int64]
    vectors: Halves = field(repr=False)
    basis: Basis

    def match(
        self, query: Halves, weights: Floats, rows: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """How well these films show what a box of the asked one shows, near the same place.

        The score is the cosine of the box's patches taken together, ``sum w q k / sqrt(sum w q q * sum w k k)`` with w
        the share of the box in each patch: what is unusual in the box counts most. The box may be moved by whole
        patches, ``REACH`` of the film at most; the best place counts, of equals the nearest.

        Args:
            query: (P, d) of the asked film. weights: (grid, grid) >= 0, summing to 1. rows: (M,) films to look at.

        Returns:
            (M,) scores in [-1, 1] with 6 decimals, and (M, 2) moves (down, right) in patches.
        """
        grid = len(weights)
        down, right = np.nonzero(weights)
        asked, shares = query[down * grid + right].astype(np.float32), weights[down, right]
        reach = round(REACH * grid)
        moves = sorted(
            ((y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)),
            key=lambda move: (move[0] ** 2 + move[1] ** 2, move),
        )
        best, where = np.full(len(rows), -np.inf), np.zeros((len(rows), 2), np.int64)
        for move in moves:
            y, x = down + move[0], right + move[1]
            inside = (y >= 0) & (y < grid) & (x >= 0) & (x < grid)
            if shares[inside].sum() < 0.5:
                continue
            w, q = shares[inside], asked[inside]
            k = self.vectors[rows[:, None], (y * grid + x)[inside]].astype(np.float32)  # (M, n, d)
            norm = np.sqrt(np.einsum("n,nd,nd->", w, q, q) * np.einsum("n,mnd,mnd->m", w, k, k))
            cosine = np.einsum("n,nd,mnd->m", w, q, k) / np.maximum(norm, 1e-6)
            scores = np.clip(cosine.astype(np.float64), -1, 1).round(6) + 0.0
            better = scores > best
            best[better], where[better] = scores[better], move
        return best, where


def forget_patches(folder: Path, study_ids: Collection[str]) -> int:
    """Remove every file with patches of these studies; the other films of a file are made anew when next needed.

    The basis, a mean over the films it was learned from, goes where they were so few that it tells of each.

    Returns:
        How many files were removed.
    """
    removed = 0
    few = False
    for path in sorted(folder.glob("*")):
        try:
            with safe_open(path, "numpy") as file:
                about = json.loads((file.metadata() or {})["about"])
            few = few or about.get("films", FEW) < FEW
            gone = path.stem != "basis" and any(key[0] in study_ids for key in about["keys"])
        except (SafetensorError, OSError, KeyError, ValueError, IndexError):
            gone = True  # nobody's, or damaged
        if gone:
            path.unlink(missing_ok=True)
            removed += 1
    for path in folder.glob("*") if few and removed else ():
        path.unlink(missing_ok=True)
        removed += 1
    return removed


class PatchFolder:
    """The files of one library's patches under one model."""

    def __init__(self, folder: Path, model: str) -> None:
        self._folder, self._model = folder, model

    def basis(self) -> Basis | None:
        """The basis kept; None where there is none for this model."""
        try:
            with safe_open(self._folder / "basis.safetensors", "numpy") as file:
                about = json.loads((file.metadata() or {})["about"])
                found = Basis(file.get_tensor("usual"), file.get_tensor("axes"), about["films"])
        except (SafetensorError, OSError, KeyError, ValueError):
            return None
        return found if about["seal"] == self._seal(found.digest) else None

    def begin(self, basis: Basis) -> None:
        """Keep a basis; patches made with another are removed."""
        for file in self._folder.glob("*.safetensors"):
            file.unlink(missing_ok=True)
        about = {"films": basis.films, "seal": self._seal(basis.digest)}
        self._write("basis", {"usual": basis.average, "axes": basis.axes}, about)

    def add(self, basis: Basis, keys: Sequence[FilmKey], vectors: Halves) -> None:
        """Keep the patches of some films, in one file."""
        named = json.dumps(keys)
        seal = self._seal(basis.digest, named, hashlib.sha256(vectors.tobytes()).hexdigest())
        name = hashlib.sha256(named.encode()).hexdigest()[:16]
        self._write(name, {"vectors": vectors}, {"keys": list(keys), "seal": seal})

    def read(self, basis: Basis) -> dict[FilmKey, Halves]:
        """(P, d) of every film kept with this basis; files that are damaged or of another are left out."""
        found: dict[FilmKey, Halves] = {}
        for path in sorted(self._folder.glob("*.safetensors")):
            if path.stem == "basis":
                continue
            try:
                with safe_open(path, "numpy") as file:
                    about, vectors = json.loads((file.metadata() or {})["about"]), file.get_tensor("vectors")
            except (SafetensorError, OSError, KeyError, ValueError):
                continue
            sealed = self._seal(basis.digest, json.dumps(about["keys"]), hashlib.sha256(vectors.tobytes()).hexdigest())
            if about["seal"] == sealed:
                found |= {FilmKey(*key): row for key, row in zip(about["keys"], vectors, strict=True)}
        return found

    def _write(self, name: str, tensors: dict[str, npt.NDArray[np.generic]], about: dict[str, object]) -> None:
        """Under another name, then renamed: what is there is whole. A full disk costs the next start its time."""
        temporary = self._folder / f"{name}.{os.getpid()}.part"
        try:
            make_private_folder(self._folder)
            make_private(temporary)
            save_file(tensors, temporary, {"about": json.dumps(about)})
            os.replace(temporary, self._folder / f"{name}.safetensors")
        except (SafetensorError, OSError):
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _seal(self, *parts: str) -> str:
        return hashlib.sha256("\0".join((self._model, *parts)).encode()).hexdigest()
