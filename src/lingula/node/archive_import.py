"""Index an archive where it lies: its studies with their reports come into a library, what is deleted there goes."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydicom.dataset import Dataset
from pynetdicom import build_role, evt
from pynetdicom.presentation import StoragePresentationContexts
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, StudyRootQueryRetrieveInformationModelGet

from lingula.deletion import delete_studies
from lingula.errors import InputError, NodeError
from lingula.ingest.batches import Imported, Progress
from lingula.ingest.burned_in import BurnedIn
from lingula.ingest.files import FileImport, Group
from lingula.ingest.sources import Source
from lingula.library import Library
from lingula.library.identity import pseudonym
from lingula.model.checkpoint import Checkpoint
from lingula.node.delivery import STUDY, asked, associate, find, listed, refused, unreachable, value_of, web_client
from lingula.node.polling import MODALITIES
from lingula.node.settings import SendSettings, WebTarget
from lingula.reading.dicom.identity import is_uid
from lingula.reading.sandbox import Sandbox

DOCUMENTS = ("SR", "DOC")
BATCH = 16
"""Studies fetched before they are stored: what an import that is stopped has to do again, at most."""
_INSTANCES = "00201208"  # Number of Study Related Instances
_MOST_CONTEXTS = 126  # of storage classes in one association; 128 are allowed (PS3.8)


class ArchiveIndex(Protocol):
    """An archive that can be listed and fetched from.

    Attributes:
        name: by which the library remembers what came from it.
    """

    @property
    def name(self) -> str: ...

    def studies(self) -> dict[str, int | None]:
        """Study Instance UIDs of all studies with radiographs, and how many objects each has, where the archive counts
        them. Raises: NodeError."""

    def fetch(self, study: str) -> Iterator[Dataset]:
        """The radiographs and documents of a study. Raises: NodeError."""


@dataclass(frozen=True, slots=True)
class ArchiveImport:
    """What became of the import of an archive.

    Attributes:
        listed: studies in the archive. known: of them in the library before. changed: of those, read again as objects
            came or went there. gone: deleted here, as they were there.
    """

    listed: int
    known: int
    changed: int
    gone: int
    imported: Imported


def import_archive(
    library: Library,
    checkpoint: Checkpoint,
    archive: ArchiveIndex,
    sandbox: Sandbox,
    *,
    burned_in: BurnedIn = "keep",
    progress: Progress = lambda done, of: None,
) -> ArchiveImport:
    """Add what is new in an archive, follow what changed there, and delete what came from it and is there no more.

    Args:
        burned_in: as ``import_files``.

    Raises:
        NodeError: ``peer_unreachable``; ``peer_refused``, also where an archive lists nothing though studies came from
            it: nothing is deleted then.
    """
    counts = archive.studies()
    uids = {pseudonym(library.secret, uid): uid for uid in counts}
    before = library.exchange.indexed(archive.name)
    if before and not uids:
        raise NodeError("peer_refused", "the archive lists no study at all.", "Nothing was deleted here.")
    known = uids.keys() & set(library.ids())
    changed = {each for each in known & before.keys() if counts[uids[each]] not in (None, before[each])}
    todo = sorted((uids.keys() - known) | changed)
    run = FileImport(library, checkpoint, sandbox, burned_in=burned_in, follows=True)
    for start in range(0, len(todo), BATCH):
        some = todo[start : start + BATCH]
        with tempfile.TemporaryDirectory(prefix="lingula-") as folder:
            fetched = [Fetched(library, archive, uids[each], Path(folder, each)) for each in some]
            for each, study in zip(some, fetched, strict=True):
                if each in changed and study.lacks_films_of(each):
                    delete_studies(library, [each])  # read anew below, without what is gone
            run.store([group for study in fetched for group in study.groups(run, sandbox)])
        stored = library.summaries(some)
        library.exchange.note_indexed(archive.name, {each: counts[uids[each]] for each in sorted(stored)})
        progress(start + len(some), len(todo))
    gone = before.keys() - uids.keys()
    if present := gone & set(library.ids()):
        delete_studies(library, present)
    library.exchange.forget_origins(gone)
    return ArchiveImport(len(uids), len(known), len(changed), len(present), run.result(Path()))


class Fetched:
    """A study of an archive as files in a folder: films and documents.

    Args:
        study: its Study Instance UID. folder: is made.
    """

    def __init__(self, library: Library, archive: ArchiveIndex, study: str, folder: Path) -> None:
        self._library = library
        self._films: list[Source] = []
        self._documents: list[Source] = []
        self._images: set[str] = set()
        folder.mkdir()
        for number, dataset in enumerate(archive.fetch(study)):
            modality, place = str(dataset.get("Modality", "")), folder / f"{number}.dcm"
            if modality not in (*MODALITIES, *DOCUMENTS):
                continue
            dataset.save_as(place, enforce_file_format=True)
            source = Source(place, Path(place.name), folder.name)
            (self._documents if modality in DOCUMENTS else self._films).append(source)
            self._images.add(pseudonym(library.secret, str(dataset.get("SOPInstanceUID", ""))))

    def lacks_films_of(self, study_id: str) -> bool:
        """Whether the library has a film of this study that the archive has no more."""
        stored = self._library.summaries([study_id])[study_id]
        return any(image.image_id not in self._images for image in stored.images if is_uid(image.image_id))

    def groups(self, run: FileImport, sandbox: Sandbox) -> Iterator[Group]:
        """The films with their report: the longest of the documents."""
        report = _report(sandbox, self._documents)
        for group in run.grouped(self._films):
            group.report, report = report, None
            yield group


def _report(sandbox: Sandbox, documents: Sequence[Source]) -> Source | None:
    """The document that says most; None where none says anything."""
    found: list[tuple[int, Source]] = []
    for document in documents:
        try:
            told = sandbox.read_report(document.path)
        except InputError:
            continue  # a measurement, a result of ours, a PDF
        found.append((len(told.report.text) if told.report else 0, document))
    return max(found, key=lambda each: each[0])[1] if found else None


def _count(told: str) -> int | None:
    return int(told) if told.isascii() and told.isdecimal() else None


class WebIndex:
    """An archive with a DICOMweb address."""

    def __init__(self, web: WebTarget) -> None:
        self._client = web_client(web)
        self.name = web.url

    def studies(self) -> dict[str, int | None]:
        found: dict[str, int | None] = {}
        for modality in MODALITIES:
            filters = {"ModalitiesInStudy": modality}
            items = listed(self._client.search_for_studies, search_filters=filters, fields=[_INSTANCES], tag=STUDY)
            found |= {uid: _count(value_of(item, _INSTANCES)) for item in items if (uid := value_of(item, STUDY))}
        return found

    def fetch(self, study: str) -> Iterator[Dataset]:
        yield from asked(self._client.retrieve_study, study)


class DimseIndex:
    """An archive that answers to C-FIND and C-GET."""

    def __init__(self, peer: SendSettings) -> None:
        self._peer = peer
        self.name = f"{peer.aet}@{peer.host}:{peer.port}"

    def studies(self) -> dict[str, int | None]:
        association = associate(self._peer, [(StudyRootQueryRetrieveInformationModelFind, None)])
        found: dict[str, int | None] = {}
        try:
            for modality in MODALITIES:
                query = Dataset()
                query.QueryRetrieveLevel, query.StudyInstanceUID, query.ModalitiesInStudy = "STUDY", "", modality
                query.NumberOfStudyRelatedInstances = None
                for each in find(association, query):
                    if uid := str(each.get("StudyInstanceUID", "")):
                        found[uid] = _count(str(each.get("NumberOfStudyRelatedInstances", "")))
        finally:
            association.release()
        return found

    def fetch(self, study: str) -> Iterator[Dataset]:
        received: list[Dataset] = []

        def keep(event: Any) -> int:
            dataset = event.dataset
            dataset.file_meta = event.file_meta
            received.append(dataset)
            return 0x0000

        classes = [str(each.abstract_syntax) for each in StoragePresentationContexts][:_MOST_CONTEXTS]
        contexts: list[tuple[Any, list[str] | None]] = [(StudyRootQueryRetrieveInformationModelGet, None)]
        roles = [build_role(each, scp_role=True) for each in classes]
        association = associate(
            self._peer, contexts + [(each, None) for each in classes], ext_neg=roles,
            evt_handlers=[(evt.EVT_C_STORE, keep)],
        )  # fmt: skip
        query = Dataset()
        query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", study
        try:
            for status, _ in association.send_c_get(query, StudyRootQueryRetrieveInformationModelGet):
                if "Status" not in status:
                    raise unreachable(ConnectionError())
                if status.Status not in (0xFF00, 0x0000, 0xB000):
                    raise refused(f"status {status.Status:04X}")
        finally:
            association.release()
        yield from received


def peer_of(text: str, own_aet: str = "LINGULA") -> SendSettings:
    """``AET@host:port`` as settings of a peer.

    Raises:
        InputError: ``bad_request``.
    """
    found = re.fullmatch(r"([!-?A-~]{1,16})@([A-Za-z0-9.\-]+|\[[0-9a-fA-F:]+\]):(\d{1,5})", text)
    if found is None:
        raise InputError("bad_request", f"{text!r} is no archive.", "Write AET@host:port.")
    return SendSettings("archive", aet=found[1], host=found[2].strip("[]"), port=int(found[3]), own_aet=own_aet)
