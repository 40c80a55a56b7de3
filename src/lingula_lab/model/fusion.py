"""Cross-modal fusion: image patches read report tokens, report tokens read image patches, layer after layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class CrossAttention(nn.Module):
    """Multi-head attention of queries over the other modality, pre-normalised. Masked keys get exactly 0."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        self.heads = heads
        self.norm_query, self.norm_key = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """queries (B, Q, W), keys (B, K, W), mask (B, K) bool to update (B, Q, W) and weights (B, heads, Q, K).

        Every row of ``mask`` must hold at least one True: the stand-in token sees to that.
        """
        normed = self.norm_key(keys)
        q = (
            self.query(self.norm_query(queries)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        )  # (B, heads, Q, W/heads)
        k = self.key(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, K, W/heads)
        v = self.value(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        scores = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5  # (B, heads, Q, K)
        weights = scores.masked_fill(~mask[:, None, None, :], float("-inf")).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).flatten(2)), weights


class FeedForward(nn.Module):
    """Two linear maps with GELU between, pre-normalised."""

    def __init__(self, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        update: Tensor = self.layers(tokens)
        return update


class FusionLayer(nn.Module):
    """One exchange. Both directions read the previous layer's output, then each modality passes the feed-forward block
    and its own adapter (a narrow feed-forward that starts at zero, Houlsby et al. 2019; none where its width is 0)."""

    def __init__(self, width: int, heads: int, adapter: int) -> None:
        super().__init__()
        self.image_reads, self.text_reads = CrossAttention(width, heads), CrossAttention(width, heads)
        self.image_adapter, self.text_adapter = (FeedForward(width, adapter) if adapter else None for _ in range(2))
        for block in filter(None, (self.image_adapter, self.text_adapter)):
            for parameter in block.layers[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(
        self, image: Tensor, image_mask: Tensor, text: Tensor, text_mask: Tensor, feed_forward: FeedForward
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        from_text, image_to_text = self.image_reads(image, text, text_mask)
        from_image, text_to_image = self.text_reads(text, image, image_mask)
        image, text = image + from_text, text + from_image
        image = image + feed_forward(image)
        text = text + feed_forward(text)
        if self.image_adapter is not None and self.text_adapter is not None:
            image, text = image + self.image_adapter(image), text + self.text_adapter(text)
        return image, text, image_to_text, text_to_image


@dataclass(frozen=True, slots=True)
class Fused:
    """What fusion gives.

    Attributes:
        image: (B, 1 + V * P, width); position 0 is the stand-in for a missing film.
        text: (B, 1 + T, width); position 0 is the stand-in for a missing report.
        image_mask, text_mask: bool, True where a token takes part. The stand-in does only where its modality lacks.
        image_to_text: per layer (B, heads, 1 + V * P, 1 + T), rows sum to 1.
        text_to_image: per layer (B, heads, 1 + T, 1 + V * P), rows sum to 1.
        word_terms: (B, T, D), what the words add to the state by themselves; None where nobody has said so.
    """

    image: Tensor
    text: Tensor
    image_mask: Tensor
    text_mask: Tensor
    image_to_text: tuple[Tensor, ...]
    text_to_image: tuple[Tensor, ...]
    word_terms: Tensor | None = None


class Fusion(nn.Module):
    """A stack of fusion layers; each reads the previous one's output.

    Args:
        width: of every token.
        layers, heads: of the stack and of each attention; without layers the modalities meet in the pooling alone.
        hidden: width of the feed-forward block.
        adapter: width of the adapters, 0 for none.
        shared: one feed-forward block for all layers (the adapters stay per layer), or one for each.
    """

    def __init__(
        self, width: int, *, layers: int, heads: int, hidden: int, adapter: int, shared: bool, dropout: float
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(FusionLayer(width, heads, adapter) for _ in range(layers))
        self.feed_forward = nn.ModuleList(FeedForward(width, hidden, dropout) for _ in range(1 if shared else layers))
        self.no_image = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.no_text = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.recomputed = False
        """Whether a layer's activations are computed again in the backward pass, not kept."""

    def forward(self, image: Tensor, image_mask: Tensor, text: Tensor, text_mask: Tensor) -> Fused:
        """image (B, N, W), text (B, T, W) and their masks (B, N), (B, T) bool; N or T may be 0."""
        return self.exchange(
            torch.cat([self.no_image.expand(len(image), -1, -1), image], 1),
            with_missing_token(image_mask),
            torch.cat([self.no_text.expand(len(text), -1, -1), text], 1),
            with_missing_token(text_mask),
        )

    def exchange(self, image: Tensor, image_mask: Tensor, text: Tensor, text_mask: Tensor) -> Fused:
        """The layers, over tokens and masks that begin with the stand-ins."""
        image_to_text, text_to_image = [], []
        for depth, layer in enumerate(self.layers):
            feed_forward = self.feed_forward[depth % len(self.feed_forward)]
            given = (image, image_mask, text, text_mask, feed_forward)
            if self.recomputed and torch.is_grad_enabled():
                image, text, one, other = checkpoint(layer, *given, use_reentrant=False)
            else:
                image, text, one, other = layer(*given)
            image_to_text.append(one)
            text_to_image.append(other)
        return Fused(image, text, image_mask, text_mask, tuple(image_to_text), tuple(text_to_image))


def with_missing_token(mask: Tensor) -> Tensor:
    """A modality's mask (B, N) with that of its stand-in before it, which takes part only where all else is missing."""
    return torch.cat([~mask.any(1, keepdim=True), mask], 1)
