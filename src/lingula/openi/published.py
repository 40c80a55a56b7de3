"""Where a study of the collection is published."""

from __future__ import annotations

import re
from collections.abc import Sequence


def published(study_id: str, image_ids: Sequence[str]) -> str:
    """The page on which NLM shows a study's first image; empty for studies of other collections, phantoms too."""
    ours = re.fullmatch(r"CXR[1-3]?\d{1,3}", study_id, re.ASCII)  # reports 1 to 3999; phantoms count from 9001
    image = next((image for image in image_ids if re.fullmatch(r"CXR\d+[A-Za-z0-9_-]*", image, re.ASCII)), "")
    return f"https://openi.nlm.nih.gov/detailedresult?img={image}&query=" if ours and image else ""
