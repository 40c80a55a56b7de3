"""The reading processes: they give what reading here gives, and whatever happens to them costs one file only."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lingula.errors import InputError
from lingula.reading import sandbox
from lingula.reading.limits import Limits
from lingula.reading.picture import read_picture
from lingula.reading.report_file import report_study
from lingula.reading.report_openi import read_report
from lingula.reading.sandbox import Sandbox, shrink
from lingula.reading.study_reader import read_study

# A child like the real one, but reading a file whose name is a statement executes that.
MISCHIEF = """
import sys, lingula.reading.image_file, lingula.reading.sandbox
read_image = lingula.reading.image_file.read_image
def read(path, limits):
    exec(path.stem)
    return read_image(path, limits)
lingula.reading.image_file.read_image = read
lingula.reading.sandbox.serve(sys.argv[1])
"""
NONSENSE = """
import os, sys
os.write(1, b"lingula\\n")
sys.stdin.readline()
os.write(1, %r)
"""


@pytest.fixture
def films(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(5)
    paths = []
    for number in range(12):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(rng.integers(0, 256, (40 + number, 50), dtype=np.uint8)).save(paths[-1])
    return paths


def code_of(reader: Sandbox, path: Path) -> str:
    with pytest.raises(InputError) as refused:
        reader.read(path)
    return refused.value.code


def test_reads_as_here(films: list[Path]) -> None:
    with Sandbox() as reader:
        for path in films[:2]:
            here, there = read_picture(path), reader.read(path)
            np.testing.assert_array_equal(here.pixels, there.pixels)
            for field in ("image_id", "decoder", "attributes", "notices", "digest"):
                assert getattr(here, field) == getattr(there, field)


def test_many_in_order_with_refusals_in_place(films: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    paths = [*films[:5], bad, tmp_path / "none.png", *films[5:]]
    with Sandbox(2) as reader:
        answers = list(reader.read_many(paths))
    assert [path for path, _ in answers] == paths
    assert [answer.code for _, answer in answers if isinstance(answer, InputError)] == ["not_dicom", "not_found"]
    heights = [answer.pixels.shape[0] for _, answer in answers if not isinstance(answer, InputError)]
    assert heights == list(range(40, 52))


def test_keys_tell_files_apart_without_decoding(films: list[Path], tmp_path: Path) -> None:
    from own_films import dicom

    paths = [tmp_path / "one", tmp_path / "other.dcm", films[0]]
    paths[0].write_bytes(dicom(1, study="1.2.3"))
    paths[1].write_bytes(dicom(2, study="1.2.3"))
    with Sandbox(2) as reader:
        keys = [key for _, key in reader.read_keys([*paths, tmp_path / "none"])]
    assert isinstance(keys[-1], InputError)
    assert keys[-1].code == "not_found"
    found = [key for key in keys if not isinstance(key, InputError)]
    assert [key.digest for key in found] == [sha256(path.read_bytes()).hexdigest() for path in paths]
    assert found[0].study == found[1].study != ""
    assert found[2].study == ""


def test_leaving_many_early_closes_cleanly(films: list[Path]) -> None:
    with Sandbox(2) as reader:
        for _, answer in reader.read_many(films):
            assert not isinstance(answer, InputError)
            break
        assert reader.read(films[3]).pixels.shape == (43, 50)


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("import os; os._exit(3)", "decode_failed"),
        ("import os; os.abort()", "decode_failed"),
        ("import os; os.kill(os.getpid(), 9)", "decode_failed"),
        ("x = bytearray(3 << 30)", "decode_failed"),
        ("while True: pass", "decode_timeout"),
        ("raise ValueError", "decode_failed"),
    ],
)
def test_a_lost_child_is_replaced(
    films: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str, code: str
) -> None:
    monkeypatch.setattr(sandbox, "_COMMAND", (sys.executable, "-c", MISCHIEF))
    harmful = tmp_path / f"{statement}.png"
    harmful.write_bytes(films[0].read_bytes())
    for number, path in enumerate(films[:2]):
        path.rename(tmp_path / f"x = {number}.png")
    with Sandbox(limits=Limits(seconds=1.0, memory_bytes=512 << 20)) as reader:
        assert reader.read(tmp_path / "x = 0.png").pixels.shape == (40, 50)
        assert code_of(reader, harmful) == code
        assert reader.read(tmp_path / "x = 1.png").pixels.shape == (41, 50)


HONEST = {"refused": None, "shape": [1, 2], "image_id": "a", "decoder": "b", "attributes": [], "notices": [],
          "digest": "", "birth_date": "", "study_date": "", "study_uid": "", "patient": ""}  # fmt: skip


@pytest.mark.parametrize(
    ("lie", "pixels"),
    [
        ({}, [0.0, np.nan]),
        ({}, [0.0, 1.5]),
        ({}, [0.0]),
        ({"shape": [1, 1 << 40]}, [0.0, 1.0]),
        ({"shape": [-1, -2]}, [0.0, 1.0]),
        ({"notices": [["made_up", ""]]}, [0.0, 1.0]),
        ({"refused": ["made_up", "", ""]}, []),
        ({"image_id": "a" * (1 << 16)}, [0.0, 1.0]),
    ],
)
def test_a_lying_child_is_not_believed(
    films: list[Path], monkeypatch: pytest.MonkeyPatch, lie: dict, pixels: list[float]
) -> None:
    def say(header: dict, values: list[float]) -> None:
        text, raw = json.dumps(header).encode(), np.array(values, np.float32).tobytes()
        answer = struct.pack(">II", len(text), len(raw)) + text + raw
        monkeypatch.setattr(sandbox, "_COMMAND", (sys.executable, "-c", NONSENSE % answer))

    say(HONEST, [0.0, 1.0])
    with Sandbox(limits=Limits(seconds=20)) as reader:
        assert reader.read(films[0]).pixels.tolist() == [[0.0, 1.0]]
    say(HONEST | lie, pixels)
    with Sandbox(limits=Limits(seconds=20)) as reader:
        assert code_of(reader, films[0]) == "decode_failed"


@pytest.mark.parametrize(("workers", "threads"), [(1, 4), (3, 2), (9, 1)])
def test_cores_left_over_help_the_decoder(
    films: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, threads: int
) -> None:
    monkeypatch.setattr(sandbox, "_COMMAND", (sys.executable, "-c", MISCHIEF))
    monkeypatch.setattr(sandbox.os, "cpu_count", lambda: 8)
    path = films[0].rename(tmp_path / f"import os; assert os.environ['OPJ_NUM_THREADS'] == '{threads}'.png")
    with Sandbox(workers) as reader:
        assert reader.read(path).pixels.shape == (40, 50)


def test_threads_share_the_workers(films: list[Path]) -> None:
    heights: dict[int, int] = {}

    def read(number: int) -> None:
        heights[number] = reader.read(films[number]).pixels.shape[0]

    with Sandbox(2) as reader:
        threads = [threading.Thread(target=read, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert heights == {number: 40 + number for number in range(12)}


def test_shrinking_in_the_child_is_the_same_as_here(films: list[Path]) -> None:
    with Sandbox(longest=20) as reader:
        pixels = reader.read(films[0]).pixels
    assert pixels.shape == (16, 20)
    np.testing.assert_array_equal(pixels, shrink(read_picture(films[0]).pixels, 20))
    assert abs(pixels.mean() - read_picture(films[0]).pixels.mean()) < 0.02


def test_closed_sandbox_says_so(films: list[Path]) -> None:
    reader = Sandbox()
    with pytest.raises(RuntimeError, match="with statement"):
        reader.read(films[0])


def test_child_imports_no_model_library() -> None:
    loaded = "import sys, lingula.reading.sandbox, lingula.reading.image_file"
    program = loaded + "; print({'torch', 'transformers'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_child_is_as_small_after_big_files_as_before(tmp_path: Path, films: list[Path]) -> None:
    """Refused ones (colour, cut) and accepted ones of 16 megapixels; the same child reads good files in between."""
    grain = np.random.default_rng(0).integers(0, 255, (250, 250, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    colour, grey, cut = (tmp_path / f"{name}.png" for name in ("colour", "grey", "cut"))
    Image.fromarray(grain).save(colour, compress_level=1)
    Image.fromarray(grain[..., 0]).save(grey, compress_level=1)
    cut.write_bytes(grey.read_bytes()[: grey.stat().st_size // 2])
    with Sandbox(limits=Limits(memory_bytes=512 << 20)) as reader:
        (worker,) = reader._workers
        reader.read(films[0])
        child, before = worker._process, _megabytes(worker)
        for _ in range(3):
            assert code_of(reader, colour) == "unsupported_photometric"
            assert code_of(reader, cut) == "image_decode_failed"
            assert _megabytes(worker) < before + 70
            assert reader.read(grey).pixels.shape == (4000, 4000)
            assert reader.read(films[0]).pixels.shape == (40, 50)
        assert worker._process is child


def _megabytes(worker: Any) -> float:
    return int(Path(f"/proc/{worker._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_reports_are_read_in_the_child_as_here(tmp_path: Path) -> None:
    xml = tmp_path / "report.xml"
    xml.write_text(
        "<eCitation><uId id='CXR77'/><MedlineCitation><AbstractText Label='FINDINGS'>Clear. Σκιά 🫁.</AbstractText>"
        "</MedlineCitation><MeSH><major>normal</major></MeSH><parentImage id='CXR77_IM-1'/></eCitation>"
    )
    text = tmp_path / "report.txt"
    text.write_text("FINDINGS: The heart is enlarged.\nIMPRESSION: Cardiomegaly.")
    limits = Limits()
    with Sandbox() as pool:
        for source in (xml, text, text.read_text()):
            assert repr(pool.read_report(source)) == repr(report_study(source, limits))
        for given in (xml, xml.read_bytes()):
            assert pool.read_openi(given) == read_report(given)
        hostile = {"dtd.xml": b"<!DOCTYPE a><a/>", "null.txt": b"a\0b", "deep.xml": b"<a>" * 99}
        codes = ("xml_forbidden_dtd", "not_a_report", "xml_too_deep")
        for (name, content), code in zip(hostile.items(), codes, strict=True):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(InputError) as refused:
                pool.read_report(tmp_path / name)
            assert refused.value.code == code


def test_a_report_that_ends_the_child_costs_itself_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a parser does to its process, the server goes on, and reads the study in a child."""
    monkeypatch.setattr("lingula.reading.report_file.report_study", lambda *_: pytest.fail("read in this process"))
    with Sandbox() as pool:
        study = read_study((), text="FINDINGS: Clear lungs.", sandbox=pool)
        assert study.report
        process = pool._workers[0]._process
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)  # as a parser that never ends would
        monkeypatch.setattr(pool._workers[0], "_limits", replace(Limits(), seconds=0.5))
        with pytest.raises(InputError) as refused:
            pool.read_report("FINDINGS: again")
        assert refused.value.code == "decode_timeout"
        monkeypatch.undo()
        assert pool.read_report("FINDINGS: Clear lungs.").report == study.report
