"""Forget studies: their records, and everything that was derived from them and lies beside the library."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from lingula.library import Library
from lingula.library.erasure import DeletionReceipt
from lingula.retrieval.region import forget_derived


def delete_studies(library: Library, study_ids: Collection[str]) -> DeletionReceipt:
    """Delete studies for good: from every table, the free bytes of the file, its indexes and patches.

    Args:
        study_ids: all of them are in the library, or nothing is deleted. The same call again, of studies still there,
            ends what an interruption left.

    Returns:
        What went, which backups and exports may still hold it, and what could not be emptied yet.

    Raises:
        LibraryError: ``study_unknown``.
    """
    ids = frozenset(study_ids)
    receipt = library.delete(ids)
    return replace(receipt, files=forget_derived(library, ids))
