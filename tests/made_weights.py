"""Weights, pixels and words that every machine makes alike, for comparing with other implementations.

Needs numpy, Pillow and torch alone: it is read in the environments of those implementations too
(``benchmarks/golden_encoders.py``).
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
from PIL import Image

SWIN: dict[str, Any] = {
    "image_size": 128, "patch_size": 4, "num_channels": 3, "window_size": 4, "embed_dim": 96, "depths": [1, 2, 1, 1],
    "num_heads": [3, 6, 12, 24],
}  # fmt: skip
BERT: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 768, "num_hidden_layers": 3, "num_attention_heads": 12, "intermediate_size": 256,
    "max_position_embeddings": 32,
}  # fmt: skip
TIMM: dict[str, Any] = {
    "img_size": 56, "window_size": 7, "embed_dim": 16, "depths": (1, 2), "num_heads": (1, 2), "num_classes": 3,
}  # fmt: skip


def fill(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Uniform values for every floating tensor, scaled to its fan-in; norms around 1. Integer buffers are left out."""
    made = {}
    for name, shape in shapes.items():
        if name.endswith(("relative_position_index", "position_ids", "attn_mask")):
            continue
        values = np.random.default_rng(zlib.crc32(name.encode())).random(shape) - 0.5
        values *= 3.4 / max(1, np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.4
        centre = 1.0 if len(shape) == 1 and name.endswith("weight") else 0.0
        made[name] = torch.tensor(np.asarray(values + centre, np.float32))
    return made


def pixels(size: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(2, 1, size, size), normalised."""
    return np.asarray(np.random.default_rng(5).random((2, 1, size, size)) * 4 - 2, np.float32)


def ids() -> np.ndarray[Any, np.dtype[np.int64]]:
    """(2, 11) token ids, no padding."""
    return np.random.default_rng(6).integers(0, BERT["vocab_size"], (2, 11))


def picture(rows: int = 300, columns: int = 260) -> Image.Image:
    """An 8-bit film: soft waves with an edge."""
    y, x = np.mgrid[0:rows, 0:columns]
    waves = 120 + 70 * np.sin(x / 17.0) * np.cos(y / 23.0) + 60 * (x + y > 300)
    return Image.fromarray(waves.clip(0, 255).astype(np.uint8))
