"""What MedCLIP's and timm's own modules answer on weights anybody can make again: golden outputs for the tests.

Run once, in an environment of its own (MedCLIP is of the age of transformers 4, and both need torchvision):

    python3 -m venv original && . original/bin/activate
    pip install "medclip==0.0.3" timm "transformers==4.24.0" torch torchvision safetensors
    PYTHONPATH=tests python benchmarks/golden_encoders.py tests/models/golden

Weights, pixels and words come from ``made_weights``; the files hold outputs and names of tensors alone, a few kB.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from made_weights import BERT, SWIN, TIMM, fill, ids, picture, pixels


def medclip() -> dict[str, Any]:
    """Both towers of ``MedCLIPModel``, as its ``encode_image`` and ``encode_text`` use them, and its pixels."""
    from medclip import MedCLIPModel, MedCLIPVisionModelViT, constants
    from medclip.dataset import MedCLIPFeatureExtractor
    from transformers import AutoTokenizer, BertConfig, BertModel, SwinConfig, SwinModel

    AutoTokenizer.from_pretrained = lambda *_: None  # made by the text model, and not used there
    with tempfile.TemporaryDirectory() as folder:
        constants.VIT_TYPE, bert = f"{folder}/swin", f"{folder}/bert"
        SwinModel(SwinConfig(**SWIN)).save_pretrained(constants.VIT_TYPE)
        BertModel(BertConfig(**BERT)).save_pretrained(bert)
        from medclip import modeling_medclip

        modeling_medclip.MedCLIPTextModel.__init__.__defaults__ = (bert, 512, False)
        model = MedCLIPModel(vision_cls=MedCLIPVisionModelViT).eval()
    names = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
    model.load_state_dict(fill(names), strict=False)
    with torch.no_grad():
        image = model.encode_image(torch.from_numpy(pixels(SWIN["image_size"])))
        text = model.text_model(torch.from_numpy(ids()), torch.ones(ids().shape, dtype=torch.long))
    text = text / text.norm(dim=-1, keepdim=True)
    prepared = np.asarray(MedCLIPFeatureExtractor()(picture())["pixel_values"][0])
    return {
        "names": names,
        "image": rounded(image),
        "text": rounded(text),
        "pixels": rounded(torch.from_numpy(prepared[0, ::8, ::8].copy())),
    }


def timm_swin() -> dict[str, Any]:
    """The last feature map of timm's Swin, and the published names of ``swin_base_patch4_window7_224``."""
    import timm

    model = timm.create_model("swin_base_patch4_window7_224", pretrained=False, **TIMM).eval()
    names = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
    model.load_state_dict(fill(names))
    with torch.no_grad():
        found = model.forward_features(torch.from_numpy(pixels(TIMM["img_size"])).expand(-1, 3, -1, -1))
    published = timm.create_model("swin_base_patch4_window7_224", pretrained=False).state_dict()
    return {
        "names": names,
        "features": rounded(found.flatten(1, 2)),
        "published": {key: list(tensor.shape) for key, tensor in published.items()},
    }


def rounded(values: torch.Tensor) -> Any:
    return np.round(values.double().numpy(), 7).tolist()


def main() -> None:
    import medclip as package
    import timm
    import transformers

    made_by = {"medclip": "0.0.3", "timm": timm.__version__, "transformers": transformers.__version__}
    assert package.name == "MedCLIP"
    for name, body in (("medclip", medclip()), ("timm_swin", timm_swin())):
        (Path(sys.argv[1]) / f"{name}.json").write_text(json.dumps({"made_by": made_by, **body}) + "\n")


if __name__ == "__main__":
    main()
