"""The ledger of looks at a test part: which model was measured on it, when and why.

It lies beside the split file (``openi-v1.looks.jsonl`` beside ``openi-v1.json``), one JSON object a line. A figure that
was chosen among many looks is no test any more, so each look is written down by the command that takes it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from lingula.errors import InputError
from lingula.types import FilePath

SUFFIX = ".looks.jsonl"


@dataclass(frozen=True, slots=True)
class Look:
    """One measurement on a test part.

    Attributes:
        date: ISO 8601, UTC. split: SHA-256 of the split, hex. model: fingerprint of the checkpoint.
        what: "tables" or "evidence". reason: why it was looked at, for a reader.
    """

    date: str
    split: str
    model: str
    what: str
    reason: str


def ledger_of(split: FilePath) -> Path:
    """Where looks at a split file, or at one that ships by name, are written."""
    packaged = resources.files("lingula.openi").joinpath(f"splits/{split}.json")
    path = Path(str(packaged)) if packaged.is_file() else Path(split)
    return path.with_name(path.name.removesuffix(".json") + SUFFIX)


def looks(ledger: Path) -> tuple[Look, ...]:
    """Every look, oldest first; none where there is no ledger.

    Raises:
        InputError: ``bad_request`` for a file that is none.
    """
    if not ledger.is_file():
        return ()
    try:
        return tuple(Look(**json.loads(line)) for line in ledger.read_text(encoding="utf-8").splitlines())
    except (ValueError, TypeError) as error:
        raise InputError("bad_request", f"{ledger.name} is no ledger of looks: {error}.") from error


def append_look(
    ledger: Path, *, split: str, model: str, what: str, reason: str, today: str | None = None
) -> tuple[Look, ...]:
    """Write one look down, before the test part is read; the same model, measured again on the same day, is one look.

    Args:
        today: ISO date, by default that of now in UTC.

    Returns:
        Every look that the ledger then holds.

    Raises:
        InputError: ``bad_request`` where the ledger cannot be written: a look that cannot be counted is not taken.
    """
    look = Look(today or datetime.now(UTC).date().isoformat(), split, model, what, reason)
    before = looks(ledger)
    if any((each.date, each.split, each.model, each.what) == (look.date, split, model, what) for each in before):
        return before
    try:
        with ledger.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(look), ensure_ascii=False) + "\n")
    except OSError as error:
        message = f"the ledger of looks {ledger} cannot be written: {error.strerror}."
        raise InputError("bad_request", message, "Copy the split file into a folder of yours and name that.") from error
    return (*before, look)
