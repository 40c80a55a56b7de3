"""Reading image files in child processes: a crash, a loop or a memory blow-up costs one file, never the program.

The child is not trusted. It answers with a length-prefixed JSON header and raw float32 pixels, no pickle, and whatever
it says is checked before it becomes a ``Radiograph``. Started with ``subprocess`` and without torch, it is ready in
well under a second and then reads file after file; after any trouble it is killed and replaced.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import gc
import json
import os
import queue
import re
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from lingula.errors import InputError, LingulaError, Notice
from lingula.reading.dicom.dicom_file import DicomFile
from lingula.reading.file_key import FileKey
from lingula.reading.limits import Limits
from lingula.study import SECTIONS, Radiograph, Report, Section, Study
from lingula.types import FilePath

if TYPE_CHECKING:
    from lingula.reading.dicom.marks import GraphicShapes
    from lingula.reading.report_openi import OpeniReport

T = TypeVar("T")
_COMMAND = (sys.executable, "-P", "-m", "lingula.reading.sandbox")
_READY = b"lingula\n"
_PIPE = 1 << 20  # bytes in flight, where the system lets a pipe hold so many: pixels come in a few large parts
_LARGE = 64 << 20  # bytes of pixels, or kept after a refusal, from which a child gives memory back
_LENGTHS = struct.Struct(">II")  # bytes of JSON, bytes of pixels
_MOST_JSON = 1 << 16
_MOST_IDENTIFIERS = 1 << 19
_MOST_SHAPES = 1 << 20
_START_SECONDS = 60.0
_MOST_READY = 64 << 20  # bytes of pixels read ahead, beyond which no further file is begun
_AHEAD = 4  # files per worker in flight while an earlier one is waited for
_MOST_THREADS = 4  # of one worker: each takes address space, which is limited
_ENVIRONMENT = {
    "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # glibc: frames of usual size stay on the heap for the next file, instead
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),  # of being mapped, and every page zeroed, anew
}


class Sandbox:
    """A pool of reading processes.

    Example:
        >>> with Sandbox(workers=2) as sandbox:  # doctest: +SKIP
        ...     radiograph = sandbox.read(Path("chest.dcm"))

    Args:
        workers: child processes; one per core is plenty. Cores left over help each to decode JPEG 2000.
        limits: memory and seconds for each file, and what the readers accept.
        longest: longer side in pixels to which the child shrinks a picture before it sends it (box filter, then
            bilinear, in float32: deterministic); None sends it in full.
    """

    def __init__(self, workers: int = 1, limits: Limits | None = None, *, longest: int | None = None) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        self._limits = limits or Limits()
        threads = min(max((os.cpu_count() or 1) // workers, 1), _MOST_THREADS)
        self._workers = [ReadingChild(self._limits, longest=longest, threads=threads) for _ in range(workers)]
        self._idle: queue.SimpleQueue[ReadingChild] = queue.SimpleQueue()
        self._is_open = False

    @property
    def limits(self) -> Limits:
        return self._limits

    def __enter__(self) -> Sandbox:
        self._is_open = True
        for worker in self._workers:
            worker.start()
            self._idle.put(worker)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_open = False
        self._idle = queue.SimpleQueue()
        for worker in self._workers:
            worker.stop()

    def check(self) -> None:
        """See that files can be read.

        Raises:
            LingulaError: ``reader_unavailable`` where a child could not be started the last time one was needed.
        """
        if any(worker.has_failed for worker in self._workers):
            raise _unavailable()

    def read(self, path: FilePath) -> Radiograph:
        """Read one image file; may be called from several threads.

        Raises:
            InputError: the child's own refusal; decode_timeout after ``limits.seconds``; decode_failed when the child
                died.
        """
        return self.read_file(path).radiograph

    def read_file(self, path: FilePath) -> DicomFile:
        """As ``read``, with the Study Instance UID ("" for a picture)."""
        return self._ask({"image": _sent(Path(path))}, lambda pipe: _receive(pipe, self._limits))

    def read_report(self, source: Path | bytes | str) -> Study:
        """A study with nothing but what a report says: a file, its bytes, or text that somebody typed.

        Raises:
            InputError: the child's own refusal; decode_timeout; decode_failed when the child died.
        """
        found = self._ask({"report": _sent(source)}, self._receive_report)
        return Study(found.study_id, (), found.report, found.terms or None, found.notices)

    def read_openi(self, source: Path | bytes) -> OpeniReport:
        """A report of the Open-i collection; as ``report_openi.read_report``.

        Raises:
            InputError: as ``read_report``.
        """
        return self._ask({"openi": _sent(source)}, self._receive_report)

    def _receive_report(self, pipe: IO[bytes]) -> OpeniReport:
        return _receive_report(pipe, self._limits)

    def read_many(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Radiograph | InputError]]:
        """Read files with all workers; results come in the order of ``paths``, a refusal in place of a radiograph."""
        for path, answer in self.read_files(paths):
            yield path, answer.radiograph if isinstance(answer, DicomFile) else answer

    def read_files(self, paths: Iterable[Path]) -> Iterator[tuple[Path, DicomFile | InputError]]:
        """As ``read_many``, with the Study Instance UIDs."""
        return self._in_order(paths, self.read_file)

    def read_keys(self, paths: Iterable[Path]) -> Iterator[tuple[Path, FileKey | InputError]]:
        """What tells files apart before they are decoded, in the order of ``paths``; refused are ``not_found``,
        ``empty_file``, ``too_large``, and what ends the child."""
        return self._in_order(paths, self._read_key)

    def _read_key(self, path: Path) -> FileKey:
        return self._ask({"key": _sent(path)}, lambda pipe: _receive_key(pipe, self._limits))

    def read_source(self, path: FilePath) -> dict[str, str]:
        """What objects made from a film repeat of its header; as ``dicom.source.read_source``.

        Raises:
            InputError: as ``read``.
        """
        return self._ask({"source": _sent(Path(path))}, lambda pipe: _receive_source(pipe, self._limits))

    def read_shapes(self, path: FilePath) -> GraphicShapes:
        """Shapes of a presentation state or a structured report; as ``dicom.marks.read_shapes``.

        Raises:
            InputError: its refusals; decode_timeout; decode_failed when the child died.
        """
        return self._ask({"shapes": _sent(Path(path))}, lambda pipe: _receive_shapes(pipe, self._limits))

    def read_identifiers(self, path: FilePath) -> tuple[str, ...]:
        """What the header of a DICOM file says of persons, places and numbers; empty for another file.

        Raises:
            InputError: decode_timeout; decode_failed when the child died.
        """
        return self._ask({"identifiers": _sent(Path(path))}, lambda pipe: _receive_identifiers(pipe, self._limits))

    def _ask(self, request: Any, receive: Callable[[IO[bytes]], T]) -> T:
        if not self._is_open:
            raise RuntimeError("the sandbox is closed; use it in a with statement")
        worker = self._idle.get()
        try:
            return worker.ask(request, receive)
        finally:
            self._idle.put(worker)

    def _in_order(self, paths: Iterable[Path], read: Callable[[Path], T]) -> Iterator[tuple[Path, T | InputError]]:
        """Files read with all workers, results in the order of ``paths``; a bounded number and bounded bytes ahead."""

        def answer(path: Path) -> T | InputError:
            try:
                return read(path)
            except InputError as error:
                return error

        with ThreadPoolExecutor(len(self._workers)) as threads:
            pending: deque[tuple[Path, Future[T | InputError]]] = deque()
            try:
                for path in paths:
                    pending.append((path, threads.submit(answer, path)))
                    while len(pending) >= _AHEAD * len(self._workers) or _bytes_ready(pending) > _MOST_READY:
                        first, future = pending.popleft()
                        yield first, future.result()
                while pending:
                    first, future = pending.popleft()
                    yield first, future.result()
            finally:
                for _, future in pending:
                    future.cancel()


def _bytes_ready(pending: Iterable[tuple[Path, Future[Any]]]) -> int:
    """Bytes of pixels that were read and nobody has taken yet."""
    ready = [future.result() for _, future in pending if future.done() and not future.exception()]
    return sum(read.radiograph.pixels.nbytes for read in ready if isinstance(read, DicomFile))


class ReadingChild:
    """One child process and the pipe to it.

    Args:
        limits: its memory, and seconds for each answer. module: what it runs, by default this one; it calls
            ``serve_answers``.
    """

    def __init__(
        self, limits: Limits, *, longest: int | None = None, threads: int = 1, module: str | None = None
    ) -> None:  # fmt: skip
        self._limits, self._threads, self._module = limits, threads, module
        self._options = json.dumps({"limits": asdict(limits), "longest": longest})
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self.has_failed = False

    def start(self) -> None:
        self._is_ready = False
        try:
            self._process = self._started()
        except OSError as error:
            self.has_failed = True
            raise _unavailable() from error

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*(_COMMAND if self._module is None else (*_COMMAND[:-1], self._module)), self._options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | _ENVIRONMENT | {"OPJ_NUM_THREADS": str(self._threads)},
            pipesize=_PIPE,
        )

    def stop(self) -> None:
        if (process := self._process) is not None:
            self._process = None
            process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            process.wait()

    def ask(self, request: Any, receive: Callable[[IO[bytes]], T]) -> T:
        """Send a request, and take its answer with ``receive``."""
        if self._process is not None and self._process.poll() is not None:  # it died since: no fault of this file
            self.stop()
        if self._process is None:
            self.start()
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError("the reading process has no pipes")
        if not self._is_ready:
            with _Deadline(process, _START_SECONDS):
                self._is_ready = process.stdout.read(len(_READY)) == _READY
            self.has_failed = not self._is_ready
            if self.has_failed:
                self.stop()
                raise _unavailable()
        with _Deadline(process, self._limits.seconds) as deadline:
            try:
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
                return receive(process.stdout)
            except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
                reason = error
        self.stop()
        if deadline.passed:
            raise InputError("decode_timeout", f"reading took more than {self._limits.seconds:g} s")
        raise InputError("decode_failed", "the reading process died or answered nonsense") from reason


def _unavailable() -> LingulaError:
    return LingulaError("reader_unavailable", "the process that reads files did not start.", "Try again in a moment.")


class _Deadline:
    """Kills a process that is still busy after so many seconds."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.passed = False
        self._process = process
        self._timer = threading.Timer(seconds, self._kill)
        self._timer.daemon = True

    def _kill(self) -> None:
        self.passed = True
        self._process.kill()

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()


def _read_exactly(pipe: IO[bytes], count: int) -> bytearray:
    data = bytearray(count)
    view, at = memoryview(data), 0
    while at < count:
        read = pipe.readinto(view[at:])  # type: ignore[attr-defined]
        if not read:
            raise EOFError
        at += read
    return data


def receive_header(pipe: IO[bytes], limits: Limits, most: int = _MOST_JSON) -> tuple[dict[str, Any], int]:
    """The JSON part of an answer and how many bytes of pixels follow."""
    header_bytes, pixel_bytes = _LENGTHS.unpack(_read_exactly(pipe, _LENGTHS.size))
    if header_bytes > most or pixel_bytes > 4 * limits.pixels:
        raise ValueError("an answer that is too long")
    header = json.loads(_read_exactly(pipe, header_bytes))
    if header["refused"] is not None:
        code, message, hint = (str(part) for part in header["refused"])
        raise InputError(code, message, hint)
    return header, pixel_bytes


def _sent(source: Path | bytes | str) -> dict[str, str]:
    """A report's source as JSON."""
    if isinstance(source, Path):
        return {"path": str(source.absolute())}
    return {"text": source} if isinstance(source, str) else {"bytes": base64.b64encode(source).decode()}


def _received(source: dict[str, str]) -> Path | bytes | str:
    if "path" in source:
        return Path(source["path"])
    return source["text"] if "text" in source else base64.b64decode(source["bytes"])


def _receive_key(pipe: IO[bytes], limits: Limits) -> FileKey:
    header, pixel_bytes = receive_header(pipe, limits)
    key = FileKey(str(header["digest"]), str(header["study"]))
    if pixel_bytes or not all(re.fullmatch(r"[0-9a-f]{64}", each) for each in (key.digest, key.study or "0" * 64)):
        raise ValueError("a key that is none")
    return key


def _receive_identifiers(pipe: IO[bytes], limits: Limits) -> tuple[str, ...]:
    header, pixel_bytes = receive_header(pipe, limits, _MOST_IDENTIFIERS)
    if pixel_bytes:
        raise ValueError("identifiers with pixels")
    return tuple(map(str, header["identifiers"]))


def _receive_source(pipe: IO[bytes], limits: Limits) -> dict[str, str]:
    from lingula.reading.dicom.source import well_formed  # pulls in pydicom

    header, pixel_bytes = receive_header(pipe, limits)
    elements = {str(keyword): str(value) for keyword, value in header["elements"].items()}
    if pixel_bytes or well_formed(elements) != elements:
        raise ValueError("elements that are not well formed")
    return elements


def _receive_shapes(pipe: IO[bytes], limits: Limits) -> GraphicShapes:
    from lingula.reading.dicom.marks import MOST_SHAPES, GraphicShapes, shape_of  # pulls in pydicom

    header, pixel_bytes = receive_header(pipe, limits, _MOST_SHAPES)
    shapes = tuple(
        shape_of(str(uid), str(kind), [number for x, y in points for number in (x, y)])
        for uid, kind, points in header["shapes"]
    )
    if pixel_bytes or len(shapes) > MOST_SHAPES:
        raise ValueError("shapes with pixels, or too many")
    return GraphicShapes(bool(header["is_state"]), bool(header["is_own"]), shapes)


def _receive(pipe: IO[bytes], limits: Limits) -> DicomFile:
    """One answer of a child, every part of it checked.

    Raises:
        InputError: the child's refusal.
        EOFError, ValueError, KeyError, TypeError: the child died, or its answer is not well formed.
    """
    header, pixel_bytes = receive_header(pipe, limits)
    rows, columns = (int(side) for side in header["shape"])
    if rows < 1 or columns < 1 or 4 * rows * columns != pixel_bytes:
        raise ValueError("pixels that do not fill their shape")
    pixels = np.frombuffer(_read_exactly(pipe, pixel_bytes), np.float32).reshape(rows, columns)
    if not (pixels.min() >= 0 and pixels.max() <= 1):  # also false for NaN
        raise ValueError("pixels outside [0, 1]")
    radiograph = Radiograph(
        image_id=str(header["image_id"]),
        pixels=pixels,
        decoder=str(header["decoder"]),
        attributes=tuple((str(keyword), str(value)) for keyword, value in header["attributes"]),
        notices=tuple(Notice(str(code), str(message)) for code, message in header["notices"]),
        digest=str(header["digest"]),
        birth_date=str(header["birth_date"]),
        study_date=str(header["study_date"]),
    )
    return DicomFile(radiograph, str(header["study_uid"]), str(header["patient"]))


def _receive_report(pipe: IO[bytes], limits: Limits) -> OpeniReport:
    """One report of a child, every part of it checked; raises as ``_receive``."""
    from lingula.reading.report_openi import OpeniReport

    header, pixel_bytes = receive_header(pipe, limits, 8 * limits.xml_bytes + _MOST_JSON)
    if pixel_bytes:
        raise ValueError("a report with pixels")
    text, sections = str(header["text"]), []
    for name, start, end in header["sections"]:
        if name not in SECTIONS or not 0 <= int(start) <= int(end) <= len(text):
            raise ValueError("a section outside its report")
        sections.append(Section(name, int(start), int(end)))
    return OpeniReport(
        study_id=str(header["study_id"]),
        report=Report(text, tuple(sections)),
        terms=tuple(map(str, header["terms"])),
        image_ids=tuple(map(str, header["image_ids"])),
        notices=tuple(Notice(str(code), str(message)) for code, message in header["notices"]),
        digest=str(header["digest"]),
    )


def shrink(pixels: npt.NDArray[np.float32], longest: int | None) -> npt.NDArray[np.float32]:
    """Reduce a picture so that its longer side is ``longest`` pixels; smaller pictures and None pass unchanged."""
    rows, columns = pixels.shape
    if longest is None or max(rows, columns) <= longest:
        return pixels
    from PIL import Image

    scale = longest / max(rows, columns)
    size = (max(round(columns * scale), 1), max(round(rows * scale), 1))
    resized = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.ascontiguousarray(np.asarray(resized, np.float32).clip(0, 1))


def _image_answer(path: Path, limits: Limits, longest: int | None) -> tuple[dict[str, Any], memoryview]:
    from lingula.reading.image_file import read_image

    read = read_image(path, limits)
    image = replace(read.radiograph, pixels=shrink(read.radiograph.pixels, longest))
    header = {
        "refused": None,
        "shape": image.pixels.shape,
        "image_id": image.image_id,
        "decoder": image.decoder,
        "attributes": image.attributes,
        "notices": [(notice.code, notice.message) for notice in image.notices],
        "digest": image.digest,
        "birth_date": image.birth_date,
        "study_date": image.study_date,
        "study_uid": read.study_uid,
        "patient": read.patient,
    }
    return header, np.ascontiguousarray(image.pixels).data.cast("B")


def _report_answer(kind: str, source: Path | bytes | str, limits: Limits) -> dict[str, Any]:
    """What a report says, as JSON: of Open-i's collection (``openi``), or of any form (``report``)."""
    from lingula.reading import report_file, report_openi

    found: OpeniReport | Study
    if kind == "openi" and not isinstance(source, str):
        found = report_openi.read_report(source, limits=limits)
    else:
        found = report_file.report_study(source, limits)
    report = found.report or Report("", ())
    return {
        "refused": None,
        "study_id": found.study_id,
        "text": report.text,
        "sections": [(part.name, part.start, part.end) for part in report.sections],
        "terms": found.terms or (),
        "image_ids": getattr(found, "image_ids", ()),
        "notices": [(notice.code, notice.message) for notice in found.notices],
        "digest": getattr(found, "digest", ""),
    }


def _answer(request: dict[str, Any], limits: Limits, longest: int | None) -> tuple[dict[str, Any], memoryview]:
    """The answer to one request: what is wanted (an image, a file's key, a report), and its source."""
    ((kind, sent),) = request.items()
    source = _received(sent)
    try:
        if kind in ("report", "openi"):
            return _report_answer(kind, source, limits), memoryview(b"")
        if not isinstance(source, Path):
            raise TypeError("films are read from files")
        if kind == "key":
            from lingula.reading.file_key import read_key

            return {"refused": None, **asdict(read_key(source, limits))}, memoryview(b"")
        if kind == "identifiers":
            from lingula.reading.dicom.identifiers import identifiers_of

            return {"refused": None, "identifiers": identifiers_of(source, limits)}, memoryview(b"")
        if kind == "source":
            from lingula.reading.dicom.source import read_source

            return {"refused": None, "elements": read_source(source, limits)}, memoryview(b"")
        if kind == "shapes":
            from lingula.reading.dicom.marks import read_shapes

            told = read_shapes(source, limits)
            shapes = [(each.uid[:64], each.kind[:16], each.points) for each in told.shapes]
            body = {"refused": None, "is_state": told.is_state, "is_own": told.is_own, "shapes": shapes}
            return body, memoryview(b"")
        return _image_answer(source, limits, longest)
    except InputError as error:
        return {"refused": [error.code, error.message, error.hint]}, memoryview(b"")


def _resident() -> int:
    """Bytes of this process in memory; 0 where the system does not say."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if status.exists() else 0


def _confine(memory_bytes: int) -> None:
    """Let this process grow by so many bytes and no further, and dump no core (POSIX only)."""
    if sys.platform == "win32":
        return
    import resource

    status = Path("/proc/self/statm")
    present = int(status.read_text().split()[0]) * resource.getpagesize() if status.exists() else 0
    resource.setrlimit(resource.RLIMIT_AS, (present + memory_bytes, present + memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def serve(options: str) -> None:
    """The child's loop, for radiographs and reports."""
    given = json.loads(options)
    longest = given["longest"]
    import lingula.reading.image_file  # noqa: F401  # what every film needs; pydicom and the reports' when asked for

    serve_answers(options, lambda request, limits: _answer(request, limits, longest))


def serve_answers(
    options: str, answer: Callable[[dict[str, Any], Limits], tuple[dict[str, Any], memoryview]]
) -> None:  # fmt: skip
    """Lines of JSON in, one answer each out: a header, and bytes. MemoryError and crashes end the process.

    Args:
        options: the child's one argument. answer: the header of a refusal has ``refused``: code, message, hint.
    """
    limits = Limits(**json.loads(options)["limits"])
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a codec prints must not reach the pipe
    _confine(limits.memory_bytes)
    small = _resident()
    answers.write(_READY)
    answers.flush()
    for line in sys.stdin.buffer:
        header, pixels = answer(json.loads(line), limits)
        if header.get("refused") is not None and _resident() > small + _LARGE:
            _return_memory()
        text = json.dumps(header).encode()
        answers.write(_LENGTHS.pack(len(text), len(pixels)) + text)
        answers.write(pixels)
        answers.flush()
        is_large = len(pixels) > _LARGE
        del header, pixels, text  # or they would lie beside the next file
        if is_large:
            _return_memory()


def _return_memory() -> None:
    """Give what the last file needed back to the system, so that the next finds the child as small as the first did."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another libc than glibc
            ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    serve(sys.argv[1])
