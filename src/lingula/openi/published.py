"""Where a study of the collection is published."""

from __future__ import annotations

import re
from collections.abc import Sequence


def is_published(study_id: str) -> bool:
    """Whether a study has a number of the published collection: 1 to 3999; phantoms count from 9001."""
    return re.fullmatch(r"CXR[1-3]?\d{1,3}", study_id, re.ASCII) is not None


def published(study_id: str, image_ids: Sequence[str]) -> str:
    """The page on which NLM shows a study's first image; empty for studies of other collections, phantoms too."""
    image = next((image for image in image_ids if re.fullmatch(r"CXR\d+[A-Za-z0-9_-]*", image, re.ASCII)), "")
    return f"https://openi.nlm.nih.gov/detailedresult?img={image}&query=" if image and is_published(study_id) else ""
