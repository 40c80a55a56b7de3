"""What one process holds for all who ask: one model, one library, the reading children, the studies brought in.

The model answers one at a time on a thread of its own; so many may wait, the next is told to come back. What needs no
model (searches from stored vectors, pictures) has threads of its own and is bounded alike.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from lingula.analysis import analyze
from lingula.analysis import search as search_library
from lingula.deidentification.handout import forget_films
from lingula.errors import InputError, LibraryError, LingulaError, NodeError, Notice, ServerError, cause, storage_error
from lingula.explanation import METHODS, TYPICAL_PLACE, explain
from lingula.explanation.comparison import Why, why
from lingula.labels.assertion_rules import load_rules
from lingula.library import Library, ReadyGallery
from lingula.library.identity import deidentified
from lingula.model.checkpoint import Checkpoint
from lingula.node.drift import DriftWatch
from lingula.page.picture import thumbnail_jpeg
from lingula.reading.sandbox import Sandbox
from lingula.reading.study_reader import read_study
from lingula.retrieval import Answer, Query, Searched
from lingula.retrieval.facets import Facet, FacetIndex
from lingula.retrieval.judge import judge
from lingula.retrieval.region import Place, RegionAnswer, check_place, library_patches, search_region
from lingula.retrieval.region_index import Patches
from lingula.server.log import note
from lingula.server.settings import Settings
from lingula.server.spool import SpoolFolder
from lingula.study import Analysis, Explanation, Report, Study
from lingula.teaching.dicom_marks import FileMarks, MarkOrigin, mark_origin, read_marks

K = TypeVar("K")
T = TypeVar("T")
READERS = max(2, min(4, os.cpu_count() or 1))
"""Threads for what needs no model."""
FILES = 16
"""Files of one study."""
ANSWERS = 256
"""Answers kept, until the library changes."""
GENTLE = 10
"""Nice value of the threads that make patches: they get a tenth of what an answer gets where both want a processor."""
PATIENCE = 2.0
"""Seconds for which a search by a box waits for patches that are being made."""
PAIRS = 10
"""Comparisons, and searches, kept with a case."""
THUMBNAILS = 1000
"""Small pictures kept, until the library changes."""
LEAST_FREE = 32 << 20
"""Bytes that the temporary folder and the library's disk must have left."""
WARNINGS = ("queue", "drift")
"""Checks that say something of nodes; the server answers whatever they find."""
STUCK = 300.0
"""Seconds after which a model that has not answered is taken for stuck."""
LATE = {"inbox": 900.0, "outbox": 3600.0}
"""Seconds for which a film may wait to be judged, a result to be delivered."""
FAREWELL = 1.0
"""Seconds that work under way is waited for when the server ends."""
ENDINGS = (".xml", ".txt", "")
"""Endings by which a report is told from a picture (``lingula.reading.image_file.sniff``)."""


ANY = Study("any", report=Report.from_sections(findings="Chest radiograph."))
"""What answers are like where only filters are asked for."""


def only_filters(query: Query) -> bool:
    """Whether a question names views or ages and nothing to look for."""
    return query.is_empty and bool(query.view or query.age)


def _keep(kept: OrderedDict[K, T], key: K, value: T, most: int) -> None:
    """Put a value into what is kept; the oldest go."""
    kept[key] = value
    while len(kept) > most:
        kept.popitem(last=False)


def film_at(films: Sequence[T], row: int) -> T:
    """A film of a study.

    Raises:
        InputError: ``not_found`` for one it lacks.
    """
    if row >= len(films):
        raise InputError("not_found", f"the study has no film {row}.")
    return films[row]


@dataclass(slots=True, eq=False)
class Case:
    """A study somebody brought in, with its answer and the marks that came with its films. Lives in memory only."""

    analysis: Analysis
    marks: tuple[FileMarks, ...] = ()
    explanations: dict[tuple[str, str], Explanation] = field(default_factory=dict)
    whys: OrderedDict[str, Why] = field(default_factory=OrderedDict)
    answers: OrderedDict[tuple[Query, int, frozenset[str]], Answer] = field(default_factory=OrderedDict)

    @property
    def case_id(self) -> str:
        return self.analysis.case_id or ""

    @property
    def study(self) -> Study:
        return self.analysis.study

    @property
    def weight(self) -> int:
        """Bytes of its pixels and maps."""
        maps = (m for each in self.explanations.values() for m in each.maps)
        pairs = (m for why in self.whys.values() for m in (*why.similarity.one.maps, *why.similarity.other.maps))
        return sum(each.nbytes for each in (*(film.pixels for film in self.study.radiographs), *maps, *pairs))


class Service:
    """Use in a ``with`` statement: children and threads end with it."""

    def __init__(
        self, checkpoint: Checkpoint, library: Library | None, settings: Settings, drift: DriftWatch
    ) -> None:  # fmt: skip
        self.checkpoint, self.library, self.settings, self.drift = checkpoint, library, settings, drift
        self._gallery = ReadyGallery.of(checkpoint.fingerprint)
        self.names = checkpoint.vocabulary.names
        self.model_lock = threading.Lock()
        self.sandbox = Sandbox(limits=settings.limits)
        self._model = _Line(1, settings.waiting)
        self._readers = _Line(READERS, 4 * settings.waiting)
        self._secret = library.secret if library is not None else secrets.token_bytes(32)
        self._cases: OrderedDict[str, Case] = OrderedDict()
        self._answers: OrderedDict[tuple[Query, int, frozenset[str]], Answer] = OrderedDict()
        self._thumbnails: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
        self._facet_index: tuple[int, FacetIndex] | None = None
        self._remembering = threading.Lock()
        self._patches = _PatchMaker()
        self._lasting: dict[str, LingulaError] = {}
        self.judged: Callable[[Analysis], None] = lambda analysis: None
        """Told of every study that was judged."""
        self._stack = ExitStack()

    def __enter__(self) -> Service:
        for part in (self._model, self._readers, self._patches):
            self._stack.callback(part.close)
        self._stack.enter_context(self.sandbox)  # ends first: whoever waits for a file is told
        self._readers.begin(load_rules)  # takes a quarter of a second, which the first question would wait for
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def searched(self) -> Searched | None:
        """The library, or the studies that ship with the model while it is empty; None where there is neither."""
        return self.library if self.library is not None and len(self.library) else self._gallery or self.library

    @property
    def opened(self) -> Library:
        """The library.

        Raises:
            LibraryError: ``library_missing`` where the server was started without one.
        """
        if self.library is None:
            raise LibraryError("library_missing", "The server was started without a library.", "Import one first.")
        return self.library

    @property
    def gallery(self) -> Searched:
        """As ``searched``.

        Raises:
            LibraryError: ``library_missing`` without anything to search.
        """
        if (searched := self.searched) is None:
            raise LibraryError("library_missing", "There is nothing to search.", "Import a collection first.")
        return searched

    @property
    def revision(self) -> int:
        """Of the library; 0 without one."""
        return self.library.revision if self.library is not None else 0

    @property
    def filled(self) -> Library | None:
        """The library where it holds studies: what answers then have films and reports."""
        return self.library if self.library is not None and len(self.library) else None

    # -- trouble

    @property
    def places(self) -> tuple[str, ...]:
        """What must not be told of this machine: where the library and temporary files are."""
        library = self.library.place if self.library is not None else ""
        return library, str(Path(library).parent) if library else "", tempfile.gettempdir(), str(Path.home())

    def notice(self, error: LingulaError) -> None:
        """Remember what does not pass by itself, for ``checks``: a damaged library."""
        if error.code in ("index_corrupt", "disk_full", "storage_unavailable", "reader_unavailable", "library_missing"):
            note(logging.ERROR, "trouble", code=error.code)
        if error.code == "index_corrupt":
            self._lasting[error.code] = error

    def checks(self) -> tuple[tuple[str, LingulaError | None], ...]:
        """What a server needs, by name, each with what is wrong with it; reads the library, and takes no part in any
        line. ``queue`` and ``drift`` are of nodes that share the library: the server answers all the same."""
        made: list[tuple[str, Callable[[], None]]] = [
            ("spool", _check_temporary_folder), ("reader", self.sandbox.check), ("model", self._check_model),
        ]  # fmt: skip
        if (library := self.library) is not None:
            made += [("database", library.check), ("disk", lambda: _check_room(Path(self.places[1]))),
                     ("queue", lambda: check_queue(library)), ("drift", self.drift.check)]  # fmt: skip
        found: dict[str, LingulaError | None] = {name: _trouble(check) for name, check in made}
        for lasting in self._lasting.values():
            found["database"] = found.get("database") or lasting
        for name, error in found.items():
            if error is not None and name not in WARNINGS:
                self.notice(error)
        return tuple(found.items())

    def _check_model(self) -> None:
        """Its answer to a made-up study was compared when it was loaded; here, whether it still answers."""
        if self._model.busy_seconds > STUCK:
            raise ServerError("model_unavailable", "The model has not answered for minutes.", "Start the server again.")

    # -- work

    async def ask_model(self, work: Callable[[], T]) -> T:
        """Run on the model's thread.

        Raises:
            ServerError: ``busy`` when too many wait.
        """

        def locked() -> T:
            with self.model_lock:
                return work()

        return await self._model.run(locked)

    async def look_up(self, work: Callable[[], T]) -> T:
        """Run what needs no model.

        Raises:
            ServerError: ``busy`` when too many wait.
        """
        return await self._readers.run(work)

    async def search(
        self, query: Query, case: Case | None = None, exclude: Collection[str] = (), *, browse: bool = False
    ) -> Answer:
        """Answer a question; the model is needed only where words or a study brought in must be read.

        Args:
            exclude: studies that may not answer: those of the pages before.
            browse: whether filters alone are answered, which otherwise ask nothing.

        Raises:
            LibraryError: ``library_missing`` without anything to search.
        """
        searched, study = self.gallery, case.study if case else ANY if browse and only_filters(query) else None
        reads = study is not None or (not query.like and bool(query.sentence()))
        line = self.ask_model if reads else self.look_up
        revision = self.revision
        if case is not None:
            key = query, revision, frozenset(exclude)
            if key not in case.answers:
                made = await line(lambda: search_library(query, self.checkpoint, searched, study, exclude=exclude))
                _keep(case.answers, key, made, PAIRS)
            return case.answers[key]

        def answered() -> Answer:
            """The same question to the same library has the same answer."""
            with searched.held():
                key = query, self.revision, frozenset(exclude)
                with self._remembering:
                    known = self._answers.get(key)
                if known is None:
                    known = search_library(query, self.checkpoint, searched, study, exclude=exclude)
                    with self._remembering:
                        _keep(self._answers, key, known, ANSWERS)
            return known

        return await line(answered)

    def facet_index(self) -> FacetIndex:
        """Of what is searched, as it is now.

        Raises:
            LibraryError: ``library_missing`` without anything to search.
        """
        searched, revision = self.gallery, self.revision
        if self._facet_index is None or self._facet_index[0] != revision:
            self._facet_index = revision, FacetIndex.of(searched)
        return self._facet_index[1]

    def facets(self, query: Query) -> tuple[Facet, ...]:
        """What the answers to a question are like, counted."""
        return self.facet_index().facets(self.gallery, query, judge(self.checkpoint))

    def thumbnail(self, study_id: str, row: int, side: int) -> bytes:
        """A stored film as a small JPEG; its long side at most ``side`` pixels.

        Raises:
            LibraryError: ``library_missing``, ``study_unknown``. InputError: ``not_found`` for a film it lacks.
        """
        key = study_id, row, self.revision
        with self._remembering:
            known = self._thumbnails.get(key)
        if known is None:
            known = thumbnail_jpeg(film_at(self.opened.get(study_id).radiographs, row).preview(), side)
            with self._remembering:
                _keep(self._thumbnails, key, known, THUMBNAILS)
        return known

    def study_named(self, text: str) -> str | None:
        """The study whose id a question is; of the Open-i collection the number is enough."""
        asked = text.strip()
        if not asked or len(asked) > 256 or self.searched is None:
            return None
        named = [asked, asked.upper(), *([f"CXR{int(asked)}"] if asked.isascii() and asked.isdecimal() else [])]
        found = self.searched.summaries(named)
        return next((each for each in named if each in found), None)

    # -- studies brought in

    def read(
        self, files: Sequence[tuple[str, bytes]], text: str | None, *, same_study: bool = False
    ) -> tuple[Study, tuple[FileMarks, ...]]:
        """One study from (name, bytes) of its files, decoded in a child process, under identifiers as the library's.

        Of a name only its ending is used. Presentation states and structured reports beside films give their marks; one
        that has none on these films is named in a notice, ``no_marks``.

        Raises:
            InputError: as ``read_study``.
        """
        if len(files) > FILES:
            raise InputError("bad_request", f"{len(files)} files for one study.", f"At most {FILES}.")
        with SpoolFolder() as folder:
            paths = []
            for number, (name, data) in enumerate(files, 1):
                ending = Path(name.replace("\0", "")).suffix.lower()
                paths.append(folder.add(f"film {number}{ending if ending in ENDINGS else '.file'}", data))
            origins = [(path, origin) for path in paths if (origin := mark_origin(path))]
            if len(origins) == len(paths):
                origins = []  # nothing that they could mark: each is refused as what it is
            marking = {path for path, _ in origins}
            study = read_study(
                [path for path in paths if path not in marking], text=text or None, sandbox=self.sandbox,
                limits=self.settings.limits, same_study=same_study,
            )  # fmt: skip
            return self._with_marks(deidentified(study, self._secret), origins)

    def _with_marks(
        self, study: Study, files: Sequence[tuple[Path, MarkOrigin]]
    ) -> tuple[Study, tuple[FileMarks, ...]]:
        """The study and what files beside its films mark on them; those that mark nothing become notices."""
        marks, notices = [], list(study.notices)
        for path, origin in files:
            try:
                marks.append(read_marks(path, study.radiographs, self._secret, self.sandbox))
            except InputError as error:
                message = f"A {origin} came with the films and marks nothing on them: {cause(error.code)}"
                if error.code == "bad_request":
                    message = f"A {origin} came with the films: {error.message}"
                notices.append(Notice("no_marks", message))
        return replace(study, notices=tuple(notices)), tuple(marks)

    def answer(self, study: Study, marks: tuple[FileMarks, ...] = ()) -> Case:
        """Findings and neighbours of a study, kept as a case with the marks that came with its films."""
        analysis = analyze(study, self.checkpoint, self.searched, methods=())
        self.judged(analysis)
        case = Case(replace(analysis, case_id=secrets.token_urlsafe(12)), marks)
        self._cases[case.case_id] = case
        self._make_room()
        if self.filled is not None:
            self._patches.begin(self.checkpoint, self.filled)
        return case

    def answer_anyway(self, case: Case) -> None:
        """Answer a case though its films are no chest radiographs; call on the model's thread."""
        if not case.analysis.answerable and not case.analysis.predictions:
            study = case.analysis.study
            case.analysis = analyze(study, self.checkpoint, self.searched, methods=(), anyway=True)

    def case(self, case_id: str) -> Case:
        """A case by its id; asking for it makes it the newest.

        Raises:
            ServerError: ``case_unknown``.
        """
        try:
            self._cases.move_to_end(case_id)
            return self._cases[case_id]
        except KeyError:
            raise ServerError(
                "case_unknown", "This study is no longer in memory.", "Bring it in again; nothing of it was kept."
            ) from None

    def forget(self, case_id: str) -> None:
        self.case(case_id)
        self._cases.pop(case_id, None)

    def forget_studies(self, study_ids: Collection[str]) -> None:
        """Leave studies of the library that were deleted out of what is remembered, also out of answers given."""
        gone = frozenset(study_ids)
        forget_films()
        with self._remembering:
            self._answers.clear()
            self._thumbnails.clear()
        for case in list(self._cases.values()):
            case.answers.clear()
            kept = tuple(each for each in case.analysis.neighbours if each.study_id not in gone)
            case.analysis = replace(case.analysis, neighbours=kept)
            for study_id in gone & case.whys.keys():
                del case.whys[study_id]

    def explanation(self, case: Case, label: str, method: str) -> Explanation:
        """Evidence for one label of a case, made when first asked for, with maps also where they point nowhere; call on
        the model's thread.

        Raises:
            InputError: ``bad_request`` for a method that needs a film where there is none.
        """
        if (label, method) not in case.explanations and method in (*METHODS, TYPICAL_PLACE):
            mode = case.analysis.mode
            for made in explain(case.study, self.checkpoint, label, methods=(method,), mode=mode, anyway=True):
                case.explanations[label, made.method] = made
            self._make_room()
        if (label, method) not in case.explanations:
            raise InputError("bad_request", f"{method} needs a film, and there is none.")
        return case.explanations[label, method]

    def why(self, case: Case, study_id: str) -> Why:
        """Why a study of the library is like a case, found when first asked for; call on the model's thread."""
        if study_id not in case.whys:
            _keep(case.whys, study_id, why(case.study, study_id, self.checkpoint, self.opened), PAIRS)
            self._make_room()
        return case.whys[study_id]

    async def region(self, case: Case, place: Place, *, mirrored: bool, k: int) -> RegionAnswer:
        """Studies that show what a box on a film of a case shows.

        The patches of the library are made on a thread of their own, from the first case on and when it changed.

        Raises:
            InputError: ``bad_request`` for a box outside the film. LibraryError: ``library_missing`` or ``_empty``.
            ServerError: ``busy`` while patches are made; the message says how far that is.
        """
        check_place(case.study, place)
        checkpoint, library = self.checkpoint, self.opened
        patches = await self.look_up(lambda: self._patches.current(checkpoint, library))
        return await self.ask_model(
            lambda: search_region(case.study, place, checkpoint, library, mirrored=mirrored, k=k, patches=patches)
        )

    def _make_room(self) -> None:
        cases = list(self._cases.values())
        total = sum(case.weight for case in cases)
        for case in cases[:-1]:
            if len(self._cases) <= self.settings.cases and total <= self.settings.case_bytes:
                return
            self._cases.pop(case.case_id, None)
            total -= case.weight


class _PatchMaker:
    """Patches of the library as it is now, made in the background, on threads that give way to answers."""

    def __init__(self) -> None:
        self._made: tuple[int, Patches | LingulaError] | None = None
        self._making: threading.Thread | None = None
        self._lock, self._stop = threading.Lock(), threading.Event()
        self.progress = (0, 0)

    def current(self, checkpoint: Checkpoint, library: Library) -> Patches:
        """Those of the library's revision; starts to make them where there are none.

        Raises:
            ServerError: ``busy`` while they are made. LingulaError: why they cannot be.
        """
        making, revision = self.begin(checkpoint, library), library.revision
        if making is not None:
            making.join(PATIENCE)
        if self._made and self._made[0] == revision:
            if isinstance(self._made[1], LingulaError):
                raise self._made[1]
            return self._made[1]
        done, of = self.progress
        message = f"The library's films are being prepared for such searches: {done} of {of}."
        raise ServerError("busy", message, "Try again in a moment.")

    def begin(self, checkpoint: Checkpoint, library: Library) -> threading.Thread | None:
        """Make them where there are none of the library's revision; what makes them, None where they are there."""
        with self._lock:
            revision = library.revision
            if self._made and self._made[0] == revision:
                return None
            if self._making is None or not self._making.is_alive():
                self._making = threading.Thread(target=self._make, args=(checkpoint, library, revision), daemon=True)
                self._making.start()
            return self._making

    def _make(self, checkpoint: Checkpoint, library: Library, revision: int) -> None:
        if sys.platform == "linux":  # where a thread has a priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), GENTLE)

        def tell(done: int, of: int) -> None:
            self.progress = done, of
            if self._stop.is_set():
                raise _Stopped

        try:
            self._made = revision, library_patches(checkpoint.apart(), library, tell)
        except LingulaError as error:
            self._made = revision, error
        except _Stopped:
            pass

    def close(self) -> None:
        self._stop.set()
        if self._making is not None:
            self._making.join(FAREWELL)


class _Stopped(Exception):
    """The server ends; what was made is kept."""


class _Line:
    """Threads with a bounded line before them."""

    def __init__(self, threads: int, waiting: int) -> None:
        self._threads = ThreadPoolExecutor(threads)
        self._since: dict[int, float] = {}
        self._most, self._inside = threads + waiting, 0
        self._counting = threading.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        with self._counting:
            if self._inside >= self._most:
                raise ServerError("busy", "Too many are waiting already.", "Try again in a moment.")
            self._inside += 1
        try:
            future = self._threads.submit(self._timed, work)
        except BaseException:
            self._leave()
            raise
        future.add_done_callback(lambda _: self._leave())
        return await asyncio.wrap_future(future)

    def begin(self, work: Callable[[], object]) -> None:
        """Start work for which nobody waits."""
        self._threads.submit(work)

    @property
    def busy_seconds(self) -> float:
        """For how long the oldest work has been under way; 0 for none."""
        return time.monotonic() - min(self._since.values(), default=time.monotonic())

    def _timed(self, work: Callable[[], T]) -> T:
        me = threading.get_ident()
        self._since[me] = time.monotonic()
        try:
            return work()
        finally:
            del self._since[me]

    def _leave(self) -> None:
        with self._counting:
            self._inside -= 1

    def close(self) -> None:
        """Start nothing more; what is under way is waited for, not for long."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        until = time.monotonic() + FAREWELL
        while self._inside and time.monotonic() < until:
            time.sleep(0.02)


def _trouble(check: Callable[[], None]) -> LingulaError | None:
    """What a check refuses; None where all is well."""
    try:
        check()
    except LingulaError as error:
        return error
    return None


def check_queue(library: Library) -> None:
    """Whether a node is behind: films that nobody judged, results that nobody could deliver.

    Raises:
        NodeError: ``queue_late``.
    """
    now = time.time()
    for table, at in library.exchange.oldest().items():
        if at is not None and now - at > LATE[table]:
            waits = round((now - at) / 60)
            words = f"What waits longest in the node's {table} waits for {waits} minutes."
            raise NodeError("queue_late", words, "lingula node status says why.")


def _check_temporary_folder() -> None:
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"room")
    except OSError as error:
        raise storage_error(error, "what is sent cannot be kept") from error
    _check_room(Path(tempfile.gettempdir()))


def _check_room(folder: Path) -> None:
    """Refuse a disk without room; a folder that is not on a disk here is none of ours."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return
    if free < LEAST_FREE:
        raise LingulaError("disk_full", f"only {free >> 20} MiB are left.", "Free some space; nothing was lost.")
