"""Where labels lie in the graph: entity embeddings by PyKEEN, kept for the labels alone."""

from __future__ import annotations

import gc
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError
from lingula_lab.graph.triples import Triple

MODELS = ("TransE", "TransH", "RotatE", "CompGCN")
"""Bordes et al. 2013, Wang et al. 2014, Sun et al. 2019, Vashishth et al. 2020."""
_EVERY = 20


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """The labels' places.

    Attributes:
        codes: L label codes. vectors: (L, E) float32; complex places have real and imaginary parts side by side.
        model: of ``MODELS``. triples: facts in the graph. split: digest of the split whose training studies were read.
    """

    codes: tuple[str, ...]
    vectors: npt.NDArray[np.float32]
    model: str
    triples: int
    split: str

    def of(self, codes: Sequence[str]) -> npt.NDArray[np.float32]:
        """(len(codes), E), in the order asked.

        Raises:
            InputError: ``bad_request`` for a label that has no place.
        """
        if missing := [code for code in codes if code not in self.codes]:
            raise InputError("bad_request", f"The graph has no label {missing[0]}.", "Make it with this vocabulary.")
        return self.vectors[[self.codes.index(code) for code in codes]]

    def save(self, path: Path) -> None:
        from safetensors.numpy import save_file

        about = {
            "codes": json.dumps(self.codes),
            "model": self.model,
            "triples": str(self.triples),
            "split": self.split,
        }
        save_file({"places": np.ascontiguousarray(self.vectors)}, path, about)

    @classmethod
    def load(cls, path: Path) -> Places:
        """Raises InputError ``unsupported_format`` for anything but a file of places."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "np") as file:
                about, vectors = file.metadata() or {}, file.get_tensor("places")
            codes = tuple(json.loads(about["codes"]))
            made = cls(codes, vectors, about["model"], int(about["triples"]), about["split"])
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise InputError("unsupported_format", f"{path} holds no places of labels: {error}.") from error
        if vectors.ndim != 2 or len(vectors) != len(codes) or not np.isfinite(vectors).all():
            raise InputError("unsupported_format", f"{path} holds no places of labels.")
        return made


def place_labels(
    triples: Sequence[Triple],
    codes: Sequence[str],
    *,
    model: str = "TransE",
    split: str = "",
    dimension: int = 64,
    epochs: int = 200,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Places:
    """Embed a graph and keep the places of its labels. CompGCN reads inverse facts too.

    Args:
        codes: of the labels, each an entity ``label:<code>``.

    Raises:
        InputError: ``bad_request`` for another model, or without the extra ``graph``.
    """
    if model not in MODELS:
        raise InputError("bad_request", f"No graph model {model!r}.", f"Models: {', '.join(MODELS)}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyKEEN's and its loader's remarks on themselves
        try:
            import torch
            from pykeen.models import model_resolver
            from pykeen.training import SLCWATrainingLoop
            from pykeen.triples import TriplesFactory
        except ImportError:
            hint = "pip install 'lingula[graph]'."
            raise InputError("bad_request", "Placing labels in a graph needs PyKEEN.", hint) from None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            facts = np.array([tuple(fact) for fact in triples], dtype=str)
            factory = TriplesFactory.from_labeled_triples(facts, create_inverse_triples=model == "CompGCN")
            made = model_resolver.make(model, triples_factory=factory, random_seed=seed, embedding_dim=dimension)
            optimizer = torch.optim.Adam(made.get_grad_params(), lr=0.01)
            loop = SLCWATrainingLoop(model=made, triples_factory=factory, optimizer=optimizer)
            for done in range(0, epochs, _EVERY):
                _train(loop, factory, min(_EVERY, epochs - done), more=done > 0)
                progress(min(done + _EVERY, epochs), epochs)
            made.eval()
            rows = torch.tensor([factory.entity_to_id[f"label:{code}"] for code in codes])
            with torch.no_grad():
                found = made.entity_representations[0](indices=rows)
    if found.is_complex():
        found = torch.view_as_real(found).flatten(1)
    return Places(tuple(codes), found.float().numpy(), model, len(triples), split)


def _train(loop: Any, factory: Any, epochs: int, *, more: bool) -> None:
    """Some epochs. PyKEEN collects garbage in each; what was there before need not be looked through every time."""
    gc.freeze()
    try:
        size = min(512, factory.num_triples)
        loop.train(factory, num_epochs=epochs, batch_size=size, use_tqdm=False, continue_training=more)
    finally:
        gc.unfreeze()
