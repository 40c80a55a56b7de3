"""What differs between databases, behind one protocol: ``sqlite:///…`` beside ``postgresql://…``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from lingula.errors import InputError, LibraryError, LingulaError
from lingula.study import Mode

Candidates = tuple[list[str], npt.NDArray[np.float32]]  # ids, (C, D)


class Database(Protocol):
    """Where one library lives. Commits are on the disk when they return.

    Attributes:
        place: file or URL for a reader, without a password.
        searches: whether it has a vector index of its own; without one, vectors are searched in memory.
    """

    place: str
    searches: bool

    def connect(self) -> sa.Engine:
        """A pool of connections, each set up for durability."""

    def changes(self) -> int | None:
        """Another number after every commit of anybody, told without a transaction; None where it cannot be told."""

    def close(self) -> None:
        """End what the pool of connections does not hold."""

    def require(self) -> None:
        """Raise ``LibraryError`` when there is plainly nothing to open."""

    def created(self) -> AbstractContextManager[Self]:
        """Where a new library is made: it has its place once the block ends well, and leaves nothing there else."""

    def prepare(self, connection: sa.Connection) -> None:
        """Make what the tables of a new library need."""

    def check(self) -> None:
        """Raise ``LibraryError`` where what is on the disk is plainly damaged; quick where nothing was written."""

    def sweep(self) -> int:
        """Remove temporary files that killed processes left; how many."""

    def discard(self, connection: sa.Connection | None) -> None:
        """Remove what ``prepare`` and the tables' making left: called with a connection, and without one when all are
        closed."""

    def lock(self, connection: sa.Connection) -> None:
        """Keep every other writer out until the transaction ends."""

    def settle(self, connection: sa.Connection) -> None:
        """Bring everything into the one file of a database that has one."""

    def index_vectors(self, connection: sa.Connection, dimension: int) -> None:
        """Build, or build anew, the database's own vector index, if it has one."""

    def index_text(self, connection: sa.Connection) -> None:
        """Build the full-text index anew."""

    def forget_text(self, connection: sa.Connection, study_ids: Sequence[str]) -> None:
        """Take reports out of the full-text index, before their studies are deleted."""

    def overwrite(self, engine: sa.Engine) -> tuple[str, ...]:
        """Leave no byte of what was deleted where the database can reach it; what still holds some, in words."""

    def derived_file(self, name: str) -> Path | None:
        """Where derived data of that name may be kept; None for no place to keep them."""

    def nearest(
        self, connection: sa.Connection, mode: Mode, query: npt.NDArray[np.float32], fetch: int,
        exclude: Collection[str], within: Collection[str] | None,
    ) -> Candidates:  # fmt: skip
        """About the ``fetch`` nearest, best first, by the database's own index; only where it ``searches``.

        Fewer than ``fetch`` only when there are no more.
        """

    def says(self, phrase: str) -> sa.ColumnElement[bool]:
        """Whether the report of a row of ``study`` holds these words in this order, endings aside."""

    def translated(self, error: DBAPIError) -> LingulaError:
        """What a database error means to the user."""

    def problems(self, connection: sa.Connection) -> tuple[str, ...]:
        """What the database's own checks find wrong; empty when all is well."""


def damaged(place: str, why: str) -> LibraryError:
    return LibraryError("index_corrupt", f"{place} is damaged: {why}.", "Restore a backup or import the studies again.")


def unanswerable(error: Exception) -> InputError:
    """For values that no library can hold or be asked for: text with NUL or half a character, numbers too large.

    The database's own words are left out, as they repeat the value.
    """
    kind = type(getattr(error, "orig", None) or error).__name__
    return InputError("bad_request", f"a library cannot be asked for that ({kind}).", "Ask for printable words.")
