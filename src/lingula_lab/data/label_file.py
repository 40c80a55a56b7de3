"""The labels of a split's studies as a file that may be published: identifiers and label codes, no word of a report.

With it anybody can score a ranking without the collection and without a model. It lies next to the split,
whose seal (``LabelSeal``) holds its digest: an edited label no longer matches.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError
from lingula.labels.vocabulary import Vocabulary
from lingula.openi.splits import SPLITS, LabelSeal, Split
from lingula_lab.data.make_split import UNKNOWN, SplitStudy

ABOUT = (
    "Label codes of every study of the split. The human MeSH coding of the report decides, turned into labels by the "
    "rules of the vocabulary; an automatic reading of the report never overrides it or fills it in, because the coding "
    "was made by people who knew nothing of this benchmark, and because words that de-identification removed from the "
    "report are still in the coding (docs/labels.md compares both). An empty list: coded, none of these labels. "
    f"'{UNKNOWN}': nobody coded the study; it is left out of every figure. Labels describe the report, not the film."
)


@dataclass(frozen=True, slots=True, eq=False)
class LabelFile:
    """Label codes by study id.

    Attributes:
        seal: of these labels, computed from them.
    """

    seal: LabelSeal
    codes: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, split: Split, studies: Iterable[SplitStudy], vocabulary: Vocabulary) -> LabelFile:
        members = {study_id for part in SPLITS for study_id in split.ids(part)}
        some = [study for study in studies if study.study_id in members]
        codes = {study.study_id: study.labels for study in sorted(some, key=lambda one: one.study_id)}
        return cls.over(codes, vocabulary)

    @classmethod
    def over(cls, codes: Mapping[str, tuple[str, ...]], vocabulary: Vocabulary) -> LabelFile:
        """With the seal of these label codes by study id."""
        return cls(LabelSeal.over(codes, vocabulary.name, vocabulary.digest), codes)

    def save(self, path: Path, split: Split) -> None:
        """Write the file, a study a line."""
        head = {
            "about": ABOUT,
            "split": {"name": split.name, "sha256": split.digest},
            "vocabulary": {"name": self.seal.vocabulary, "sha256": self.seal.vocabulary_sha256},
            "sha256": self.seal.sha256,
        }
        lines = (f"{json.dumps(study_id)}: {json.dumps(codes)}" for study_id, codes in self.codes.items())
        body = json.dumps(head, indent=1, ensure_ascii=False)[:-2] + ',\n "labels": {\n' + ",\n".join(lines) + "\n}}\n"
        path.write_text(body, encoding="utf-8")

    @classmethod
    def load(cls, source: str | Path) -> LabelFile:
        """The labels of a split file, or of a shipped split by its name; the seal is computed afresh.

        Raises:
            InputError: ``not_found``, or ``bad_request`` when it is no such file.
        """
        path = label_path(source)
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            codes = {study_id: tuple(map(str, found)) for study_id, found in body["labels"].items()}
            name, digest = str(body["vocabulary"]["name"]), str(body["vocabulary"]["sha256"])
        except FileNotFoundError as error:
            message = f"No labels lie beside the split {source}."
            raise InputError("not_found", message, "lingula split writes them with the split.") from error
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise InputError("bad_request", f"{path.name} is not a label file: {error!r}.") from error
        seal = LabelSeal.over(codes, name, digest)
        return cls(seal, codes)

    def checked(self, split: Split) -> LabelFile:
        """Itself, if these are the labels that the split was sealed with.

        Raises:
            InputError: ``bad_request`` where they are not, or the split has no seal.
        """
        if split.labels != self.seal:
            message = f"The labels beside {split.name} are not those it was sealed with."
            raise InputError("bad_request", message, "lingula audit says what differs.")
        return self

    def targets(self, ids: Sequence[str], vocabulary: Vocabulary) -> npt.NDArray[np.float32]:
        """Targets (N, L) in {0, 1}, NaN for studies that nobody coded."""
        found = np.zeros((len(ids), len(vocabulary)), np.float32)
        for row, study_id in enumerate(ids):
            for code in self.codes[study_id]:
                if code == UNKNOWN:
                    found[row] = np.nan
                else:
                    found[row, vocabulary.codes.index(code)] = 1
        return found


def label_path(source: str | Path) -> Path:
    """Where the labels of a split file, or of a shipped split, lie: ``NAME.labels.json``."""
    packaged = resources.files("lingula.openi").joinpath(f"splits/{source}.json")
    split = Path(str(packaged)) if packaged.is_file() else Path(source)
    return split.with_name(split.name.removesuffix(".json") + ".labels.json")
