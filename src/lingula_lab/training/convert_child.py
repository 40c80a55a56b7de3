"""The child of ``convert``: reads one pickle with ``weights_only`` under limits, writes its tensors as safetensors."""

from __future__ import annotations

import contextlib
import ctypes
import json
import resource
import sys
from collections.abc import Iterator
from typing import Any

MOST_BYTES = 8 << 30
MOST_SECONDS = 600
MOST_DEPTH = 64
CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000


def confine() -> None:
    """Bound what this process may use, and give up the network where that is allowed."""
    resource.setrlimit(resource.RLIMIT_AS, (4 * MOST_BYTES, 4 * MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).unshare(CLONE_NEWUSER | CLONE_NEWNET)


class Inert:
    """Stands for whatever a file names: made with anything, it does nothing."""

    def __init__(self, *given: Any, **options: Any) -> None:
        pass


def tensors_of(value: Any, tensor: type, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """(name, tensor) of everything in nested dictionaries and modules; a module's parts stand under its own name."""
    if depth > MOST_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, tensor):
        yield name, value
        return
    if isinstance(value, Inert):
        parts = [getattr(value, each, None) for each in ("_parameters", "_buffers", "_modules")]
        for part in parts:
            if isinstance(part, dict):
                yield from tensors_of(part, tensor, name, depth + 1)
        return
    if isinstance(value, dict):
        for key, each in value.items():
            yield from tensors_of(each, tensor, f"{name}.{key}" if name else str(key), depth + 1)


def main(pickled: str, out: str) -> None:
    import torch
    from safetensors.torch import save_file

    confine()
    named = torch.serialization.get_unsafe_globals_in_checkpoint(pickled)
    torch.serialization.add_safe_globals([(Inert, each) for each in named])
    loaded = torch.load(pickled, map_location="cpu", weights_only=True)
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    found = dict(tensors_of(loaded, torch.Tensor))
    if not found:
        raise ValueError("it holds no tensors")
    plain = {name: each.detach().clone().contiguous() for name, each in found.items()}
    save_file(plain, out)
    values = sum(each.numel() for each in plain.values())
    sys.stdout.write(json.dumps({"tensors": len(plain), "values": values, "not_followed": sorted(named)}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
