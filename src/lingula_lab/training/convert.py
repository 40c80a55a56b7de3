"""Pickled weights to safetensors, in a child process that may do nothing else.

The child has limited memory, time and file size, no environment, and no network where the kernel lets a process give it
up. It loads with ``weights_only``: no class or function that the file names is imported or called; what it names beside
tensors becomes an inert object, of which only tensors are taken (torchxrayvision keeps whole modules).
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lingula.errors import InputError, ModelError

MOST_BYTES = 8 << 30
"""Of memory and of what is written."""
SECONDS = 600


@dataclass(frozen=True, slots=True)
class Converted:
    """A safetensors file: how many tensors and values it holds, and names in the pickle that were not followed."""

    file: str
    tensors: int
    values: int
    not_followed: tuple[str, ...]


def convert(pickled: Path, out: Path) -> Converted:
    """Write the tensors of a ``.bin``, ``.pt``, ``.pth`` or ``.ckpt`` file as safetensors.

    Args:
        out: the file to write; it appears when it is whole.

    Raises:
        InputError: ``not_found``, ``bad_request`` for a file that is there already. ModelError: ``model_bad_file`` for
            a file that is no such pickle, holds no tensors, or needs more than the child may have.
    """
    if not pickled.is_file():
        raise InputError("not_found", f"there is no file {pickled}.")
    if out.exists() or out.suffix != ".safetensors":
        raise InputError("bad_request", f"{out} exists already, or does not end in .safetensors.", "Name another file.")
    part = out.with_name(f"{out.name}.part")
    command = [sys.executable, "-I", str(Path(__file__).with_name("convert_child.py")), str(pickled), str(part)]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env={}, check=False)
    except subprocess.TimeoutExpired as error:
        part.unlink(missing_ok=True)
        raise ModelError("model_bad_file", f"{pickled.name} takes more than {SECONDS} s.") from error
    if told.returncode:
        part.unlink(missing_ok=True)
        last = (told.stderr.strip().splitlines() or ["the reading process ended"])[-1][:300]
        raise ModelError("model_bad_file", f"{pickled.name} is no file of weights that can be read: {last}")
    part.replace(out)
    body = json.loads(told.stdout.splitlines()[-1])
    return Converted(str(out), body["tensors"], body["values"], tuple(body["not_followed"]))
