"""Whether the image encoder may be computed in 8 bits: what it changes in the answers, and what it saves.

    python benchmarks/int8.py STUDIES

STUDIES is a study set of the collection. The encoder of ``compact`` is quantised by ONNX Runtime (static, weights by
channel, QDQ), its ranges taken from 64 films; on 300 others embeddings, probabilities and milliseconds a film are
compared with the encoder as it ships. Needs the extra ``lab`` (``onnx``).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from lingula.model.batch import collate
from lingula.model.checkpoint import load_checkpoint
from lingula.model.onnx_engine import OnnxEngine
from lingula_lab.data.study_set import StudySet
from machine import write_result

LEARNED, ASKED = 64, 300
COSINE, PROBABILITY = 0.999, 0.01


class Films(CalibrationDataReader):  # type: ignore[misc]
    """Films one by one, as the encoder's input."""

    def __init__(self, films: list[np.ndarray]) -> None:
        self._films: Iterator[np.ndarray] = iter(films)

    def get_next(self) -> dict[str, np.ndarray] | None:
        film = next(self._films, None)
        return None if film is None else {"pixels": film[None, None]}


def main() -> None:
    data, model = StudySet.load(Path(sys.argv[1])), load_checkpoint("compact", threads=1)
    engine = model.model.engine
    assert isinstance(engine, OnnxEngine)
    preprocessing = model.model.architecture.preprocessing
    rows = np.random.default_rng(0).permutation(len(data.films))[: LEARNED + ASKED]
    films = [preprocessing.normalised(data.films[row].astype(np.float32) / 255) for row in rows]
    with tempfile.TemporaryDirectory() as scratch:
        whole, ready, small = (Path(scratch) / f"{name}.onnx" for name in ("whole", "ready", "small"))
        onnx.save(onnx.load(str(engine.folder / "image.onnx")), str(whole))
        quant_pre_process(str(whole), str(ready), skip_symbolic_shape=True)
        quantize_static(
            str(ready), str(small), Films(films[:LEARNED]), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        size = small.stat().st_size
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(small), options, providers=["CPUExecutionProvider"])
    answers: dict[str, list[Any]] = {"as shipped": [], "8 bits": []}
    spent = dict.fromkeys(answers, 0.0)
    run = engine.run
    for at in range(LEARNED, LEARNED + ASKED):
        batch = collate([[(films[at], data.views[rows[at]])]], [None], size=preprocessing.size, pad=0)
        for name in answers:

            def computed(part: Any, inputs: Any, outputs: Any, name: str = name) -> Any:
                started = process_time()
                try:
                    return (
                        session.run(list(outputs), inputs)
                        if (part, name) == ("image", "8 bits")
                        else run(part, inputs, outputs)
                    )
                finally:
                    spent[name] += process_time() - started if part == "image" else 0.0

            engine.run = computed  # type: ignore[method-assign]
            answers[name].append(model.model(batch, ("image",))["image"])
    one, other = (np.concatenate([each.embedding for each in answers[name]]) for name in answers)
    p, q = (
        model.calibration["image"].probabilities(np.concatenate([each.logits for each in answers[name]]))
        for name in answers
    )
    cosines, apart = (one * other).sum(axis=1), np.abs(p - q)
    passes = bool(cosines.min() >= COSINE and apart.max() <= PROBABILITY)
    figures = {
        "films": ASKED, "seed": 0, "passes": passes, "wanted": {"cosine": COSINE, "probability": PROBABILITY},
        "cosine": {"least": round(float(cosines.min()), 4), "median": round(float(np.median(cosines)), 4)},
        "probability": {"most": round(float(apart.max()), 4), "p95": round(float(np.percentile(apart, 95)), 4)},
        "cpu_ms_a_film": {name: round(1000 * value / ASKED, 1) for name, value in spent.items()},
        "graph_mb": round(size / 1e6, 1),
    }  # fmt: skip
    write_result("int8", figures, {
        "int8_cosine": {"value": figures["cosine"]["least"], "unit": "least cosine", "n": ASKED},
        "int8_probability_difference": {"value": figures["probability"]["most"], "unit": "probability", "n": ASKED},
    })  # fmt: skip
    sys.stdout.write(f"{figures}\n")


if __name__ == "__main__":
    main()
