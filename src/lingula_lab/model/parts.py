"""The joint model in the parts that are deployed, each a function of arrays (``lingula.model.forward``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lingula.model.forward import OUTPUTS, Arrays, Part
from lingula_lab.model.image_encoder import PatchExtractor
from lingula_lab.model.study_model import StudyModel


class _ImagePart(nn.Module):
    def __init__(self, model: StudyModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        patches: Tensor = PatchExtractor(self.model.image_encoder)(pixels)
        return patches


class _DetailsPart(nn.Module):
    def __init__(self, model: StudyModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model.image_encoder.details(pixels)


class _TextPart(nn.Module):
    def __init__(self, model: StudyModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        words = self.model.text_encoder.words(ids)
        tokens = self.model.text_encoder.to_width(self.model.text_encoder.hidden(words, mask))
        return tokens, self.model.terms(ids, words, first)


class _FusionPart(nn.Module):
    def __init__(self, model: StudyModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, image: Tensor, image_mask: Tensor, text: Tensor, text_mask: Tensor, terms: Tensor
    ) -> tuple[Tensor, ...]:
        fusion, count = self.model.fusion, image.shape[0]
        fused = fusion.exchange(
            torch.cat([fusion.no_image.expand(count, -1, -1), image], 1),
            image_mask,
            torch.cat([fusion.no_text.expand(count, -1, -1), text], 1),
            text_mask,
        )
        contributions = self.model.contributions(replace(fused, word_terms=terms))
        state = contributions.sum(1)
        found = (F.normalize(state, dim=-1), self.model.head(state), state, contributions)
        return (*found, fused.image_to_text[-1], fused.text_to_image[-1]) if fusion.layers else found


_PARTS: dict[Part, type[nn.Module]] = {
    "image": _ImagePart, "details": _DetailsPart, "text": _TextPart, "fusion": _FusionPart,
}  # fmt: skip


def part_of(model: StudyModel, part: Part) -> nn.Module:
    """One part of a model, as a module over the same weights."""
    return _PARTS[part](model).eval()


class TorchEngine:
    """A trained model in memory, answering as its graphs would (``lingula.model.forward.Engine``)."""

    device = "cpu"

    def __init__(self, model: StudyModel) -> None:
        self.model = model.eval()
        self._parts = {part: part_of(model, part) for part in _PARTS}

    def tensor(self, name: str) -> Arrays:
        """A weight by its name, in single precision."""
        return self.model.get_parameter(name).detach().float().numpy()

    @torch.inference_mode()
    def run(self, part: Part, inputs: Mapping[str, Arrays], outputs: tuple[str, ...]) -> tuple[Arrays, ...]:
        """A part's outputs by name."""
        found = self._parts[part](**{name: torch.from_numpy(array) for name, array in inputs.items()})
        named = dict(zip(OUTPUTS[part], found if isinstance(found, tuple) else (found,), strict=False))
        return tuple(named[name].numpy() for name in outputs)
