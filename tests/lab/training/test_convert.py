"""Pickled weights: their tensors come out, and nothing that they name is run."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lingula.errors import InputError, ModelError
from lingula_lab.training.convert import convert


class Densely(nn.Module):
    """Pickled whole, as torchxrayvision keeps its models."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(OrderedDict(conv0=nn.Conv2d(1, 2, 3), norm0=nn.BatchNorm2d(2)))
        self.classifier = nn.Linear(2, 3)


class Harmful:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return exec, (f"open({str(self.mark)!r}, 'w').write('ran')",)


@pytest.mark.parametrize("whole", [True, False])
def test_tensors_come_out_under_their_names(tmp_path: Path, whole: bool) -> None:
    torch.manual_seed(0)
    model = Densely()
    torch.save(model if whole else {"state_dict": model.state_dict(), "epoch": 3}, tmp_path / "model.pt")
    told = convert(tmp_path / "model.pt", tmp_path / "model.safetensors")
    found = load_file(tmp_path / "model.safetensors")
    assert told.tensors == len(found) == len(model.state_dict())
    for name, tensor in model.state_dict().items():
        assert torch.equal(found[name], tensor)
    assert any(name.endswith("Densely") for name in told.not_followed) is whole
    with pytest.raises(InputError):
        convert(tmp_path / "model.pt", tmp_path / "model.safetensors")


def test_nothing_that_a_file_names_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    torch.save({"weight": torch.ones(2), "more": Harmful(mark)}, tmp_path / "model.pt")
    convert(tmp_path / "model.pt", tmp_path / "model.safetensors")
    assert list(load_file(tmp_path / "model.safetensors")) == ["weight"]
    (tmp_path / "plain.bin").write_bytes(pickle.dumps(Harmful(mark)))
    with pytest.raises(ModelError) as refused:
        convert(tmp_path / "plain.bin", tmp_path / "other.safetensors")
    assert refused.value.code == "model_bad_file"
    assert not mark.exists()
    assert not list(tmp_path.glob("other*"))


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "model.pt")
    (tmp_path / "noise.bin").write_bytes(b"PK\x03\x04 not an archive")
    for name in ("model.pt", "noise.bin"):
        with pytest.raises(ModelError):
            convert(tmp_path / name, tmp_path / "model.safetensors")
