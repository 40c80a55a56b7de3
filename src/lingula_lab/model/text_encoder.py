"""The text encoder: any BERT of ``transformers``, and a linear map to the fusion's width."""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn


class TextEncoder(nn.Module):
    """BERT and a linear map to the fusion's width.

    Args:
        backbone: a ``transformers`` configuration as plain data (``model_type`` and its fields).
        width: of the fusion.
        levels: hidden states whose mean is a token, as indices into ``hidden_states``; empty for the last one alone.
        window: tokens read together; longer reports are read in windows of so many. None for no bound.
    """

    def __init__(
        self, backbone: dict[str, Any], width: int, levels: tuple[int, ...] = (), window: int | None = None
    ) -> None:
        super().__init__()
        self.levels, self.window = levels, window
        self.backbone: Any = build_backbone(backbone)
        self.to_width = nn.Linear(self.backbone.config.hidden_size, width)

    def words(self, ids: Tensor) -> Tensor:
        """Word embeddings (B, T, hidden) of token ids (B, T): where token attributions start."""
        words: Tensor = self.backbone.get_input_embeddings()(ids)
        return words

    def hidden(self, words: Tensor, mask: Tensor) -> Tensor:
        """Word embeddings (B, T, hidden) and mask (B, T) int64 (padding 0) to hidden states (B, T, hidden)."""
        output = self.backbone(inputs_embeds=words, attention_mask=mask, output_hidden_states=bool(self.levels))
        if not self.levels:
            last: Tensor = output.last_hidden_state
            return last
        return torch.stack([output.hidden_states[level] for level in self.levels]).mean(0)

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        """Word embeddings (B, T, hidden) and mask (B, T) bool (padding False) to tokens (B, T, width)."""
        size = self.window or words.shape[1]
        parts = [
            self.hidden(some, (seen | ~seen.any(1, keepdim=True)).long())  # a row that has ended is read, and ignored
            for some, seen in zip(torch.split(words, size, 1), torch.split(mask, size, 1), strict=True)
        ]
        tokens: Tensor = self.to_width(torch.cat(parts, 1) if len(parts) > 1 else parts[0])
        return tokens


def build_backbone(config: dict[str, Any]) -> Any:
    """A ``transformers`` model with random weights from its configuration, as plain data."""
    from transformers import AutoModel

    _, options = backbone_class(config)
    return AutoModel.from_config(options.pop("config"), **options).float()


def backbone_class(config: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The ``transformers`` class of a configuration and what it is made with: eager attention, so that maps exist, and
    no pooler where it can do without."""
    from transformers import MODEL_MAPPING, AutoConfig

    settings = dict(config)
    described = AutoConfig.for_model(settings.pop("model_type"), **settings)
    built = MODEL_MAPPING[type(described)]
    options: dict[str, Any] = {"config": described, "attn_implementation": "eager"}
    if "add_pooling_layer" in signature(built).parameters:
        options["add_pooling_layer"] = False
    return built, options
