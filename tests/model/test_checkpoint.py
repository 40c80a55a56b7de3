"""A checkpoint is what was saved, or it is refused with the code of its damage."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests import made_up

from lingula.errors import LibraryError, ModelError
from lingula.library import Library
from lingula.model import checkpoint
from lingula.model.batch import batch_studies
from lingula.model.checkpoint import FILES, SHIPPED, Checkpoint, content_digest, load_checkpoint
from lingula.model.checkpoint_bounds import MOST_BYTES
from lingula.study import MODES
from lingula_lab.model.checkpoint import load_weights, save_checkpoint, trained_model


def _logits(checkpoint: Checkpoint) -> np.ndarray:  # type: ignore[type-arg]
    preprocessing = checkpoint.model.architecture.preprocessing
    batch = batch_studies(made_up.studies(4), preprocessing, checkpoint.tokenizer)
    outputs = checkpoint.model(batch, MODES)
    return np.stack([outputs[mode].logits for mode in MODES])


@pytest.fixture
def folder(checkpoint_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint_folder, tmp_path / "tiny"))


def _sign(folder: Path) -> None:
    """Write a manifest that fits whatever lies there: an attacker can do as much."""
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    (folder / "manifest.json").write_text(json.dumps(sums))


def _code(folder: Path) -> str:
    with pytest.raises(ModelError) as refused:
        load_checkpoint(folder)
    return refused.value.code


def test_loaded_is_what_was_saved(checkpoint_folder: Path) -> None:
    one, other = load_checkpoint(checkpoint_folder), load_checkpoint(checkpoint_folder)
    np.testing.assert_array_equal(_logits(one), _logits(other))
    saved = made_up.model()
    for key, tensor in (
        trained_model(one).state_dict().items()
    ):  # stored in half precision, and changed by no more than that
        torch.testing.assert_close(tensor, saved.state_dict()[key], atol=1e-3, rtol=1e-3)
    assert not trained_model(one).training
    assert one.vocabulary.digest == made_up.vocabulary().digest
    assert one.model.architecture == saved.architecture
    assert one.training == {"preset": "tiny"}
    assert len(one.fingerprint) == 16
    assert one.fingerprint == other.fingerprint


def test_fingerprint_follows_the_weights(checkpoint_folder: Path, tmp_path: Path) -> None:
    assert made_up.checkpoint(tmp_path / "other", seed=1).fingerprint != load_checkpoint(checkpoint_folder).fingerprint
    assert made_up.checkpoint(tmp_path / "same").fingerprint == load_checkpoint(checkpoint_folder).fingerprint


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_altered_or_missing_file(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    assert _code(folder) in ({"model_checksum_mismatch"} if name != "manifest.json" else
                             {"model_checksum_mismatch", "model_bad_file"})  # fmt: skip
    (folder / name).unlink()
    assert _code(folder) == "model_bad_file"


@pytest.mark.parametrize("extra", ["pytorch_model.bin", "modeling_custom.py", "weights.safetensors.index"])
def test_extra_file(folder: Path, extra: str) -> None:
    (folder / "README.md").write_text("welcome")
    assert load_checkpoint(folder).fingerprint
    (folder / extra).write_bytes(b"x")
    assert _code(folder) == "model_unsafe_format"


def test_manifest_that_names_more_or_less(folder: Path) -> None:
    sums = json.loads((folder / "manifest.json").read_text())
    for body in ({**sums, "../secret": "0"}, {"weights.safetensors": "0"}, [], "x", None):
        (folder / "manifest.json").write_text(json.dumps(body))
        assert _code(folder) == "model_bad_file"
    (folder / "manifest.json").write_text("[" * 100_000)
    assert _code(folder) == "model_bad_file"


KEY = "head.weight"


def _nan(tensors: dict[str, torch.Tensor]) -> None:
    tensors[KEY][0, 0] = float("nan")


def _infinite(tensors: dict[str, torch.Tensor]) -> None:
    tensors[KEY][0, 0] = float("inf")


WEIGHTS: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    "extra key": lambda t: t.update(extra=torch.zeros(1)),
    "missing key": lambda t: t.pop(KEY),
    "wrong shape": lambda t: t.update({KEY: t[KEY].T.contiguous()}),
    "wrong rank": lambda t: t.update({KEY: t[KEY].reshape(-1)}),
    "nan": _nan,
    "infinite": _infinite,
}


@pytest.mark.parametrize("damage", WEIGHTS)
def test_weights_that_do_not_fit(folder: Path, damage: str) -> None:
    tensors = load_file(folder / "weights.safetensors")
    WEIGHTS[damage](tensors)
    save_file(tensors, folder / "weights.safetensors")
    _sign(folder)
    assert _code(folder) == "model_bad_file"


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("unpickled",))


def test_pickles_are_never_opened(folder: Path) -> None:
    for content in (pickle.dumps(_Bomb()), pickle.dumps({"a": 1}, protocol=5), b"PK\x03\x04" + b"\0" * 60):
        (folder / "weights.safetensors").write_bytes(content)
        _sign(folder)
        assert _code(folder) == "model_unsafe_format"
    torch.save({"head.weight": torch.zeros(2)}, folder / "weights.safetensors")
    _sign(folder)
    assert _code(folder) == "model_unsafe_format"


def _changed(folder: Path, name: str, *keys: str | int, value: object) -> None:
    body = inner = json.loads((folder / name).read_text())
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    (folder / name).write_text(json.dumps(body))
    _sign(folder)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"architecture": 1}']
)
@pytest.mark.parametrize("name", ["model.json", "tokenizer.json"])
def test_garbage_description(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    _sign(folder)
    assert _code(folder) == "model_bad_file"


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("architecture", "labels"), 21),
        (("architecture", "heads"), 5),
        (("architecture", "heads"), 0),
        (("architecture", "width"), -1),
        (("architecture", "unheard_of"), 1),
        (("architecture", "labels"), True),
        (("architecture", "image", "auto_map"), {"AutoModel": "elsewhere--code.Model"}),
        (("calibration", "image", "threshold", 0), 1.5),
        (("calibration", "image", "shift", 0), 1e400),
        (("calibration", "joint", "doubt"), [[0.0]]),
        (("architecture", "image", "model_type"), "no_such_model"),
        (("architecture", "image"), {"model_type": "swin", "depths": "x"}),
        (("architecture", "text", "vocab_size"), 30),
        (("architecture", "preprocessing"), {"size": "wide", "shape": 3}),
        (("vocabulary", "labels"), []),
        (("vocabulary",), {"name": "x"}),
        (("calibration", "joint"), {}),
        (("calibration", "image", "scale"), ["one"]),
        (("calibration", "text", "threshold"), [0.5]),
    ],
    ids=str,
)
def test_description_that_does_not_fit(folder: Path, keys: tuple[str, ...], value: object) -> None:
    _changed(folder, "model.json", *keys, value=value)
    assert _code(folder) == "model_bad_file"


HUGE = [
    (("architecture", "dimension"), 10_000_000),
    (("architecture", "dimension"), 8000),  # within the bounds, but not what the weights hold
    (("architecture", "width"), 10_000_000),
    (("architecture", "layers"), 10_000_000),
    (("architecture", "trunks"), 10_000_000),
    (("architecture", "grid"), 100_000),
    (("architecture", "tokens"), 10_000_000),
    (("architecture", "preprocessing", "size"), 1_000_000),
    (("architecture", "image", "image_size"), 1_000_000),
    (("architecture", "image", "embed_dim"), 60_000),
    (("architecture", "image", "depths"), [10_000_000, 2]),
    (("architecture", "image", "depths"), [1] * 100_000),
    (("architecture", "image"), {"model_type": "mobilenet_v1", "depth_multiplier": 60_000.0, "image_size": 2048}),
    (("architecture", "text", "num_hidden_layers"), 10_000_000),
    (("architecture", "text", "vocab_size"), 1_000_000),
    (("architecture", "text", "max_position_embeddings"), 10_000_000_000),
]
_REFUSED_WITHIN = """
import json, resource, sys
from pathlib import Path
from tests.model.test_checkpoint import _changed
from lingula.errors import ModelError
from lingula.model.checkpoint import load_checkpoint

folder, original = Path(sys.argv[1]), (Path(sys.argv[1]) / "model.json").read_text()
load_checkpoint(folder)
grown = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + (256 << 20)
resource.setrlimit(resource.RLIMIT_AS, (grown, grown))
for keys, value in json.loads(sys.stdin.read()):
    (folder / "model.json").write_text(original)
    _changed(folder, "model.json", *keys, value=value)
    try:
        load_checkpoint(folder)
    except ModelError as error:
        print(error.code, error.message)
"""


def test_sizes_are_judged_before_anything_is_allocated(folder: Path) -> None:
    """Each description is refused by a process that may take 256 MiB more than a sound one takes."""
    command = [sys.executable, "-c", _REFUSED_WITHIN, str(folder)]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        command, input=json.dumps(HUGE), env=paths, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr
    told = run.stdout.splitlines()
    assert len(told) == len(HUGE)
    assert all(line.startswith("model_bad_file ") for line in told), told
    assert not any("MemoryError" in line or "allocate" in line for line in told), told


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.uint8, torch.float8_e4m3fn], ids=str)
def test_foreign_types(folder: Path, dtype: torch.dtype) -> None:
    tensors = load_file(folder / "weights.safetensors")
    tensors[KEY] = tensors[KEY].to(dtype)
    save_file(tensors, folder / "weights.safetensors")
    _sign(folder)
    assert _code(folder) == "model_bad_file"


@pytest.mark.parametrize("name", [*FILES, "manifest.json", "README.md"])
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_links(folder: Path, tmp_path: Path, name: str, link: Callable[[Path, Path], None]) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes((folder / name).read_bytes() if (folder / name).exists() else b"welcome")
    (folder / name).unlink(missing_ok=True)
    link(folder / name, outside)
    assert _code(folder) == "model_unsafe_format"


def test_a_folder_in_place_of_a_file(folder: Path) -> None:
    (folder / "README.md").mkdir()
    assert _code(folder) == "model_unsafe_format"


def test_files_beyond_their_bounds(folder: Path) -> None:
    for name in FILES:
        kept = (folder / name).read_bytes()
        os.truncate(folder / name, MOST_BYTES[name] + 1)  # sparse: takes no room
        assert _code(folder) == "model_bad_file"
        (folder / name).write_bytes(kept)
    assert load_checkpoint(folder)


def test_a_manifest_that_says_two_things(folder: Path) -> None:
    sums = json.loads((folder / "manifest.json").read_text())
    twice = [f'"{name}": "{digest}"' for name, digest in (*sums.items(), ("model.json", "0" * 64))]
    (folder / "manifest.json").write_text("{" + ", ".join(twice) + "}")
    assert _code(folder) == "model_bad_file"


def test_shipped_checkpoints_are_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shipped name stands for these very weights, whatever its folder holds and whatever its manifest says."""
    shipped = Path(checkpoint.__file__).parent / "checkpoints"
    assert sorted(SHIPPED) == sorted(path.name for path in shipped.iterdir())
    for name, pinned in SHIPPED.items():
        assert content_digest(json.loads((shipped / name / "manifest.json").read_text())) == pinned
    (tmp_path / "checkpoints").mkdir()
    made_up.checkpoint(tmp_path / "checkpoints" / "compact")
    monkeypatch.setattr(checkpoint, "__file__", str(tmp_path / "checkpoint.py"))
    with pytest.raises(ModelError) as refused:
        load_checkpoint("compact")
    assert refused.value.code == "model_checksum_mismatch"


def test_golden_output_tells_other_weights(folder: Path) -> None:
    tensors = load_file(folder / "weights.safetensors")
    tensors["head.weight"] *= 1.05
    save_file(tensors, folder / "weights.safetensors")
    _sign(folder)
    load_checkpoint(folder, check_golden=False)
    assert _code(folder) == "model_mismatch"


@pytest.mark.parametrize(
    ("golden", "code"),
    [
        ({"image": [0.0], "text": [0.0], "joint": [0.0]}, "model_mismatch"),
        ({"image": [0.0]}, "model_bad_file"),
        ([], "model_bad_file"),
        ({"image": ["x"], "text": [], "joint": []}, "model_bad_file"),
    ],
)
def test_golden_output_that_is_none(folder: Path, golden: object, code: str) -> None:
    (folder / "golden.json").write_text(json.dumps(golden))
    _sign(folder)
    assert _code(folder) == code


def test_golden_nan_is_a_mismatch(folder: Path) -> None:
    body = json.loads((folder / "golden.json").read_text())
    _changed(folder, "golden.json", "joint", len(body["joint"]) - 1, value=float("nan"))
    assert _code(folder) == "model_mismatch"


def test_counts_keep_their_value(tmp_path: Path) -> None:
    """Half precision would make infinity of 70,000 steps of batch normalisation."""
    mobilenet = {"model_type": "mobilenet_v1", "num_channels": 1, "image_size": 64, "depth_multiplier": 0.25}
    model = made_up.model(image=mobilenet, grid=2)
    for key, tensor in model.state_dict().items():
        if key.endswith("num_batches_tracked"):
            tensor.fill_(70_001)
    saved = save_checkpoint(made_up.trained(model), tmp_path / "mobilenet")
    counts = [t for key, t in trained_model(saved).state_dict().items() if key.endswith("num_batches_tracked")]
    assert counts
    assert all(count == 70_001 for count in counts)


def test_no_such_checkpoint(tmp_path: Path) -> None:
    assert _code(tmp_path / "nowhere") == "model_bad_file"
    (tmp_path / "file").write_text("x")
    assert _code(tmp_path / "file") == "model_bad_file"


def test_real_hostile_files(shared_data: Path, folder: Path) -> None:
    """Each hostile weights file of the collection, in place of sound ones: at once, and with a manifest that fits it.

    A single flipped bit in a valid file only the SHA-256 can tell. The .npy files have no reader here.
    """
    base = shared_data / "badinput"
    with (base / "manifest.tsv").open(encoding="utf-8", newline="") as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["kind"] == "model"]
    tampered = [row for row in rows if row["path"].endswith(".safetensors")]
    assert len(tampered) >= 5
    for row in tampered:
        shutil.copyfile(base / row["path"], folder / "weights.safetensors")
        (folder / "weights.safetensors").chmod(0o644)
        assert _code(folder) == "model_checksum_mismatch"
        if row["code"] != "model_checksum_mismatch":
            with pytest.raises(ModelError) as refused:
                load_weights(made_up.model(), folder / "weights.safetensors")
            assert (row["path"], refused.value.code) == (row["path"], row["code"])
    with pytest.raises(LibraryError) as broken:
        Library.open(shutil.copyfile(base / "model/index/zero_length.sqlite", folder / "zero.sqlite"))
    assert broken.value.code == "index_corrupt"


def test_numbers_out_of_range_are_not_hidden_by_half_precision(tmp_path: Path) -> None:
    model = made_up.model()
    with torch.no_grad():
        model.head.bias[0] = 1e6  # more than half precision holds
    with pytest.raises(ModelError) as refused:
        save_checkpoint(made_up.trained(model), tmp_path / "unsound")
    assert refused.value.code == "model_bad_file"


def test_a_loaded_checkpoint_is_saved_under_its_own_fingerprint(
    checkpoint_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another machine's arithmetic gives other golden numbers."""
    made = load_checkpoint(checkpoint_folder)
    answer = {mode: [1.0] * len(made.vocabulary) for mode in MODES}
    for module in ("lingula.model.checkpoint", "lingula_lab.model.checkpoint"):
        monkeypatch.setattr(f"{module}.golden_answer", lambda checkpoint: answer)
    again = save_checkpoint(made, tmp_path / "again")
    assert json.loads((tmp_path / "again" / "golden.json").read_text()) == answer
    assert again.fingerprint == made.fingerprint
    assert again.earlier != made.earlier


def test_a_library_named_by_the_earlier_fingerprint_is_upgraded(checkpoint_folder: Path, tmp_path: Path) -> None:
    made, where = load_checkpoint(checkpoint_folder), tmp_path / "library.sqlite"
    about = {"vocabulary": made.vocabulary.digest, "labels": made.vocabulary.codes, "dimension": 16}
    Library.create(where, model=made.earlier, **about).close()
    with pytest.raises(ModelError, match="filled by model"):
        Library.open(where, model=made.fingerprint)
    with Library.open(where) as library:
        with pytest.raises(ModelError, match="filled by model"):
            library.rename_model("another", made.fingerprint)
        assert [library.rename_model(made.earlier, made.fingerprint) for _ in range(2)] == [True, False]
    Library.open(where, model=made.fingerprint).close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no priority of its own")
def test_what_computes_apart_gives_way_with_the_thread_that_asks(checkpoint: Checkpoint) -> None:
    tasks = Path("/proc/self/task")
    before, made = {each.name for each in tasks.iterdir()}, []

    def ask() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        apart = checkpoint.apart()
        apart.model(batch_studies([made_up.study(1)], apart.model.architecture.preprocessing, apart.tokenizer))
        stats = [(each / "stat").read_text() for each in tasks.iterdir() if each.name not in before]
        made.extend(int(stat.rpartition(")")[2].split()[16]) for stat in stats)

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join()
    assert set(made) == {10}
