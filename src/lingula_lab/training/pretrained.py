"""Published weights to start from, all through ``transformers``' own loading, which maps the names of older
versions.

* a backbone by name or local folder: configuration, weights and tokenizer (``describe``, ``load_backbone``,
  ``load_tokenizer``);
* one safetensors file of another layout (``start_from``): an ImageNet MobileNetV1, a ``timm`` Swin Transformer, or a
  MedCLIP-ViT checkpoint, distinguished by the names of their tensors.

No pickle is opened here: ``lingula convert`` takes the tensors out of a ``.bin`` or ``.pth``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lingula.errors import InputError, ModelError
from lingula_lab.model.study_model import StudyModel
from lingula_lab.model.text_encoder import backbone_class
from lingula_lab.training.mobilenet import load_trunk

_ABOUT_THE_FILE = {
    "architectures", "auto_map", "dtype", "id2label", "label2id", "model_type", "torch_dtype", "transformers_version",
}  # fmt: skip
_NOT_IN_A_BACKBONE = re.compile(
    r"pooler\.|(^|\.)head\.|classifier\.|cls[._]|lm_head|mask_token|position_ids$|relative_position_index$|attn_mask$"
)


def describe(source: str | Path, otherwise: str) -> dict[str, Any]:
    """The configuration of a backbone by name or folder, as plain data for ``build_backbone``.

    Args:
        otherwise: the ``model_type`` where the source names one that ``transformers`` does not know (CXR-BERT is a BERT
            with heads of its own).

    Raises:
        InputError: ``not_found`` when there is no such backbone at hand.
    """
    from transformers import AutoConfig, PretrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    try:
        raw, _ = PretrainedConfig.get_config_dict(str(source))
        if not raw:
            raise OSError("there is no config.json")
        kind = raw["model_type"] if raw.get("model_type") in CONFIG_MAPPING_NAMES else otherwise
        raw = {key: value for key, value in raw.items() if key not in _ABOUT_THE_FILE}
        full = AutoConfig.for_model(kind, **raw).to_diff_dict()
    except (OSError, ValueError) as error:
        raise _missing(source, error) from error
    return {"model_type": kind, **{key: value for key, value in full.items() if key not in _ABOUT_THE_FILE}}


def load_backbone(config: dict[str, Any], source: str | Path) -> nn.Module:
    """A backbone with its published weights; every weight must be there.

    Raises:
        InputError: ``not_found``. ModelError: ``model_mismatch`` for weights that do not fit the configuration.
    """
    return _load(config, str(source), None)


def load_tokenizer(source: str | Path) -> Any:
    """The ``tokenizers.Tokenizer`` of a backbone, by name or folder.

    Raises:
        InputError: ``not_found``.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(source)).backend_tokenizer
    except (OSError, ValueError, AttributeError) as error:
        raise _missing(source, error) from error


def start_from(model: StudyModel, path: Path) -> None:
    """Start a model from a safetensors file of another layout; what the file does not hold is left as it is.

    MedCLIP-ViT: both backbones; its projection heads become the maps to the fusion's width, so that before fusion the
    mean of the patches, and of the tokens, is MedCLIP's own embedding. Its temperature is not taken over.

    Raises:
        ModelError: ``model_bad_file`` when it is no safetensors file, ``model_mismatch`` when its layout is unknown or
            does not fit.
    """
    tensors = _read(path)
    if "features.0.weight" in tensors:
        load_trunk(model.image_encoder, path)
    elif "layers.0.blocks.0.attn.qkv.weight" in tensors:
        model.image_encoder.backbone = _load(model.architecture.image, path.name, timm_swin(tensors))
    elif "vision_model.projection_head.weight" in tensors:
        _load_medclip(model, tensors, path.name)
    else:
        raise ModelError(
            "model_mismatch",
            f"{path.name} is of no known layout: its first tensor is {min(tensors, default='none')}.",
            "Known: MobileNetV1 (features.0.weight), timm Swin (layers.0.blocks…), MedCLIP (vision_model.…).",
        )


def _load_medclip(model: StudyModel, tensors: dict[str, Tensor], name: str) -> None:
    sides: tuple[tuple[str, Any], ...] = (("vision_model", model.image_encoder), ("text_model", model.text_encoder))
    for side, encoder in sides:  # all is checked before anything changes
        found = tuple(tensors.get(f"{side}.projection_head.weight", torch.empty(0)).shape)
        if found != tuple(encoder.to_width.weight.shape):
            raise ModelError(
                "model_mismatch",
                f"{side}.projection_head of {name} is {found}, the model's is {tuple(encoder.to_width.weight.shape)}.",
            )
    backbones = [
        _load(
            config,
            name,
            {k.removeprefix(f"{side}.model."): v for k, v in tensors.items() if k.startswith(f"{side}.model.")},
        )
        for (side, _), config in zip(sides, (model.architecture.image, model.architecture.text), strict=True)
    ]
    for (side, encoder), backbone in zip(sides, backbones, strict=True):
        encoder.backbone = backbone
        with torch.no_grad():
            encoder.to_width.weight.copy_(tensors[f"{side}.projection_head.weight"])
            encoder.to_width.bias.zero_()


_TIMM = (
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^patch_embed\.norm\.", "embeddings.norm."),
    (r"^norm\.", "layernorm."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.attn\.relative_position_bias_table$", ".attention.self.relative_position_bias_table"),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
    (r"^layers\.", "encoder.layers."),
)


def timm_swin(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A ``timm`` (or the paper's own) Swin state dict under the names ``transformers`` publishes.

    Queries, keys and values are one matrix there; merging of patches stands at the end of a stage in the paper's code
    and up to timm 0.6, at the beginning of the next one since.
    """
    late = not any(key.startswith("layers.0.downsample.") for key in tensors)
    named: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        if late and (merging := re.match(r"layers\.(\d+)\.downsample\.", key)):
            key = f"layers.{int(merging[1]) - 1}.downsample.{key[merging.end() :]}"
        for pattern, name in _TIMM:
            key = re.sub(pattern, name, key)
        if ".attn.qkv." in key:
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                named[key.replace(".attn.qkv.", f".attention.self.{part}.")] = piece
        else:
            named[key] = tensor
    return named


def _load(config: dict[str, Any], source: str, tensors: dict[str, Tensor] | None) -> nn.Module:
    """``from_pretrained`` with every weight accounted for; from the tensors given or from the source."""
    built, options = backbone_class(config)
    kept = (
        None if tensors is None else {k: v.contiguous() for k, v in tensors.items() if not _NOT_IN_A_BACKBONE.search(k)}
    )
    try:
        with _quietly():
            model, told = built.from_pretrained(
                source if kept is None else None, state_dict=kept, output_loading_info=True, use_safetensors=True,
                ignore_mismatched_sizes=True, **options,
            )  # fmt: skip
    except (OSError, ValueError) as error:
        raise _missing(source, error) from error
    wrong = [*told["missing_keys"], *(key for key, *_ in told["mismatched_keys"])]
    extra = [key for key in told["unexpected_keys"] if not _NOT_IN_A_BACKBONE.search(key)]
    if wrong or extra:
        first = min(map(str, wrong or extra))
        how = "lacks or has in another shape" if wrong else "has in excess"
        raise ModelError(
            "model_mismatch", f"{source} {how} {len(wrong or extra)} tensors of the backbone, first {first}."
        )
    loaded: nn.Module = model.float()
    return loaded


def _read(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        hint = "A .bin, .pt or .pth: lingula convert FILE model.safetensors"
        raise ModelError("model_bad_file", f"{path} is not a safetensors file: {error}.", hint) from error
    return tensors


def _missing(source: str | Path, error: Exception) -> InputError:
    first = str(error).strip().partition("\n")[0]
    hint = f"Fetch it: hf download {source}. Weights that are a pickle: lingula convert FILE model.safetensors"
    return InputError("not_found", f"No backbone {source} is at hand: {first}", hint)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' own bars and tables."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
