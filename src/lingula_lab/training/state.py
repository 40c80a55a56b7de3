"""Where training stands, on disk after every epoch: modules and optimiser moments as safetensors, the rest as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from lingula.errors import InputError


def write_state(run: Path, modules: Mapping[str, nn.Module], optimizer: Optimizer, body: dict[str, Any]) -> None:
    """Write the state of these modules by name, of the optimiser, and ``body``; each file atomically."""
    run.mkdir(parents=True, exist_ok=True)
    tensors = {f"{name}.{key}": t for name, module in modules.items() for key, t in module.state_dict().items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{key}": tensor for key, tensor in moments.items()}
    write_tensors(run / "state.safetensors", tensors)
    temporary = run / "state.json.part"
    temporary.write_text(json.dumps(body))
    os.replace(temporary, run / "state.json")


def read_state(
    run: Path, modules: Mapping[str, nn.Module], optimizer: Optimizer, recipe: dict[str, Any], defaults: dict[str, Any]
) -> dict[str, Any] | None:
    """Put modules and optimiser into the state kept there and give back the body; None where nothing is kept.

    Args:
        recipe: what the run must have been begun with. defaults: values for keys that an older recipe lacks.

    Raises:
        InputError: ``bad_request`` when the run was begun with another recipe.
    """
    if not (run / "state.json").exists():
        return None
    body: dict[str, Any] = json.loads((run / "state.json").read_text())
    defaults, recipe = (json.loads(json.dumps(each)) for each in (defaults, recipe))
    if defaults | body["recipe"] != recipe:
        raise InputError("bad_request", f"{run} was begun with another recipe.", "Choose another folder.")
    tensors = load_file(run / "state.safetensors")
    for name, module in modules.items():
        module.load_state_dict(_part(tensors, f"{name}."))
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in _part(tensors, "optimizer.").items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return body


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Tensors as safetensors, atomically."""
    temporary = path.with_suffix(".part")
    save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, temporary)
    os.replace(temporary, path)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
