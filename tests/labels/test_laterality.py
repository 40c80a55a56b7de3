"""The side a coded term names."""

from __future__ import annotations

import pytest

from lingula.labels import laterality


@pytest.mark.parametrize(
    ("term", "side"),
    [
        ("Pleural Effusion/left/small", "left"),
        ("Opacity/lung/middle lobe/right", "right"),
        ("Opacity/lung/middle lobe", "right"),
        ("Pulmonary Atelectasis/lingula", "left"),
        ("Pulmonary Atelectasis/lingula/right", "bilateral"),
        ("Pulmonary Atelectasis/base/bilateral", "bilateral"),
        ("Opacity/left/right", "bilateral"),
        ("Cardiomegaly/mild", None),
        ("Nodule/lung/bright", None),
        ("Left", None),
    ],
)
def test_laterality(term: str, side: str | None) -> None:
    assert laterality(term) == side
