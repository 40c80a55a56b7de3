"""How a large gallery is divided into cells, learned once and kept in a file beside the records.

Everything else of a quantised index follows from the cells and the vectors. The file is derived data: it may be deleted
at any time, and one that is damaged or belongs to other vectors is learned again and written anew.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lingula.library.private_file import make_private

LISTS = 4096  # cells of a gallery of LISTS * EACH vectors or more
EACH = 40  # vectors a cell is learned from
ROUNDS = 8  # of k-means


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """(L, D) float32 centroids of unit norm, and for each of N vectors its cell, (N,) int32."""

    centroids: npt.NDArray[np.float32]
    assigned: npt.NDArray[np.int32]

    @classmethod
    def learned(cls, vectors: npt.NDArray[np.float32]) -> Self:
        """Spherical k-means on a sample; the same vectors give the same cells."""
        import faiss

        count, dimension = vectors.shape
        lists = min(LISTS, max(1, count // EACH))
        sample = vectors[np.random.default_rng(0).permutation(count)[: EACH * lists]]
        means = faiss.Kmeans(dimension, lists, niter=ROUNDS, spherical=True, seed=0, min_points_per_centroid=1)
        means.train(sample)
        centroids: npt.NDArray[np.float32] = np.asarray(means.centroids)
        cells = faiss.IndexFlatIP(dimension)
        cells.add(centroids)
        return cls(centroids, cells.search(vectors, 1)[1][:, 0].astype(np.int32))

    @classmethod
    def kept(cls, file: Path, vectors: npt.NDArray[np.float32]) -> Self:
        """Those in the file if they were learned from these very vectors, else learned now and written there."""
        digest = hashlib.sha256(np.ascontiguousarray(vectors).data).hexdigest()
        if (found := cls._read(file, digest)) is None:
            found = cls.learned(vectors)
            found._write(file, digest)
        return found

    @classmethod
    def _read(cls, file: Path, digest: str) -> Self | None:
        try:
            with safe_open(file, "numpy") as tensors:
                found = cls(tensors.get_tensor("centroids"), tensors.get_tensor("assigned"))
                seal = (tensors.metadata() or {}).get("seal")
        except (SafetensorError, OSError):
            return None
        return found if seal == found._seal(digest) else None

    def _write(self, file: Path, digest: str) -> None:
        """Under another name, then renamed: whatever is there is whole. A full disk costs the next start its time."""
        temporary = file.with_name(f"{file.name}.{os.getpid()}.part")
        tensors = {"centroids": self.centroids, "assigned": self.assigned}
        try:
            make_private(temporary)
            save_file(tensors, temporary, {"seal": self._seal(digest)})
            os.replace(temporary, file)
        except (SafetensorError, OSError):
            temporary.unlink(missing_ok=True)

    def _seal(self, digest: str) -> str:
        """Ties the cells to the vectors with this digest."""
        sealed = hashlib.sha256(digest.encode())
        for array in (self.centroids, self.assigned):
            sealed.update(repr((array.shape, array.dtype.str)).encode() + np.ascontiguousarray(array).tobytes())
        return sealed.hexdigest()
