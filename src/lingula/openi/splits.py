"""Train / validation / test by study: a file of ids with its own hash, sealed with the labels it was made with."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from lingula.errors import InputError
from lingula.types import FilePath

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)


@dataclass(frozen=True, slots=True)
class LabelSeal:
    """The labels a split was made with: a label edited later no longer matches.

    Attributes:
        vocabulary: name of the vocabulary.
        vocabulary_sha256: its digest, hex.
        sha256: hex, over the sorted (study id, label codes) table of the studies in the split.
    """

    vocabulary: str
    vocabulary_sha256: str
    sha256: str

    @classmethod
    def over(cls, codes: Mapping[str, Sequence[str]], vocabulary: str, vocabulary_sha256: str) -> LabelSeal:
        """The seal of label codes by study id."""
        table = sorted([study_id, *labels] for study_id, labels in codes.items())
        return cls(vocabulary, vocabulary_sha256, hashlib.sha256(json.dumps(table).encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class Split:
    """Study ids by split name, each sorted, with how they were made.

    ``digest`` is the SHA-256 over the sorted ids of the three splits; every table names it. ``labels`` is None when the
    split was never sealed.
    """

    name: str
    seed: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    labels: LabelSeal | None = None

    @property
    def digest(self) -> str:
        listing = {name: sorted(self.ids(name)) for name in SPLITS}
        return hashlib.sha256(json.dumps(listing, sort_keys=True).encode()).hexdigest()

    def ids(self, name: SplitName) -> tuple[str, ...]:
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    def save(self, path: FilePath) -> None:
        body: dict[str, Any] = {
            "name": self.name,
            "seed": self.seed,
            "sha256": self.digest,
            **({"labels": asdict(self.labels)} if self.labels else {}),
            "counts": {name: len(self.ids(name)) for name in SPLITS},
            **{name: sorted(self.ids(name), key=natural_order) for name in SPLITS},
        }
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(body, indent=0) + "\n")

    @classmethod
    def load(cls, source: FilePath) -> Split:
        """Read a split file, or one that ships with the package by its name (``openi-v1``).

        Raises:
            InputError: ``not_found``, or ``bad_request`` when the ids do not match the hash in the file.
        """
        packaged = resources.files("lingula.openi").joinpath(f"splits/{source}.json")
        path = packaged if packaged.is_file() else Path(source)
        try:
            body = json.loads(path.read_text())
            seal = LabelSeal(**body["labels"]) if "labels" in body else None
            train, validation, test = (tuple(body[name]) for name in SPLITS)
            split = cls(body["name"], body["seed"], train, validation, test, seal)
        except FileNotFoundError as error:
            raise InputError("not_found", f"No split file {source}.", "The package ships 'openi-v1'.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError("bad_request", f"{source} is not a split file: {error!r}.") from error
        if split.digest != body.get("sha256"):
            raise InputError("bad_request", f"{source} was edited: its ids do not match its hash.", "Make it again.")
        return split


def natural_order(study_id: str) -> tuple[int, str]:
    """Sorting key of a study id: by its number, then as text."""
    digits = re.sub(r"\D", "", study_id)
    return (int(digits) if digits else 0, study_id)
