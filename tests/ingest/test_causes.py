"""What others than a file's owner read is what the page of limits says."""

from __future__ import annotations

import re
from pathlib import Path

from lingula.errors import CAUSES, INPUT_CODES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "limits.md"


def test_every_refusal_of_a_file_has_its_cause_as_documented() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (.*?) \| .*\|$", PAGE.read_text("utf-8").partition("### Models")[0], re.MULTILINE
    )
    documented = {code: cause.replace("`", "") for code, cause in rows if code in INPUT_CODES}
    assert documented == CAUSES
