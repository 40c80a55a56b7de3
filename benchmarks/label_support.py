"""How many studies have each label, over the whole collection and per split.

python benchmarks/label_support.py NLMCXR_reports.tgz > benchmarks/results/label_support.json
"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from defusedxml.ElementTree import fromstring

from lingula.labels import Vocabulary
from lingula.labels.vocabulary import SHIPPED
from lingula.openi.splits import SPLITS, Split

SPLIT = "openi-v1"


def coded_studies(archive: Path) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Study id, ``<MeSH><major>`` terms and whether there are images, for every report of the original archive."""
    with tarfile.open(archive) as members:
        for member in members:
            if not member.name.endswith(".xml"):
                continue
            content = members.extractfile(member)
            assert content is not None
            root = fromstring(content.read())
            terms = tuple((major.text or "").strip() for major in root.findall("MeSH/major"))
            yield f"CXR{Path(member.name).stem}", terms, root.find("parentImage") is not None


def support(archive: Path) -> dict[str, Any]:
    studies = list(coded_studies(archive))
    split = Split.load(SPLIT)
    groups = {
        "all": {study_id for study_id, _, _ in studies},
        "with_images": {study_id for study_id, _, images in studies if images},
        **{name: set(split.ids(name)) for name in SPLITS},
    }
    return {
        "command": "python benchmarks/label_support.py NLMCXR_reports.tgz",
        "reports_sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "split": {"name": split.name, "sha256": split.digest},
        "studies": {name: len(ids) for name, ids in groups.items()},
        "vocabularies": {name: _counts(Vocabulary.load(name), studies, groups) for name in SHIPPED},
    }


def _counts(
    vocabulary: Vocabulary, studies: Sequence[tuple[str, tuple[str, ...], bool]], groups: dict[str, set[str]]
) -> dict[str, Any]:
    encoded = np.stack([vocabulary.encode(terms) for _, terms, _ in studies])  # (studies, labels)
    unknown = np.isnan(encoded).any(1)
    members = {name: np.array([study_id in ids for study_id, _, _ in studies]) for name, ids in groups.items()}
    return {
        "sha256": vocabulary.digest,
        "uncoded": {name: int((unknown & here).sum()) for name, here in members.items()},
        "positive": {
            code: {name: int(np.nansum(encoded[here, column])) for name, here in members.items()}
            for column, code in enumerate(vocabulary.codes)
        },
    }


if __name__ == "__main__":
    json.dump(support(Path(sys.argv[1])), sys.stdout, indent=1)
    sys.stdout.write("\n")
