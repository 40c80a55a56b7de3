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
from lingula.ingest.files import FileImport, Group
from lingula.ingest.sources import Source
from lingula.library import Library
from lingula.library.identity import pseudonym
from lingula.model.checkpoint import Checkpoint
from lingula.node.delivery import STUDY, asked, associate, find, listed, refused, unreachable, value_of, web_client
from lingula.node.polling import MODALITIES
from lingula.node.settings import SendSettings, WebTarget
from lingula.reading.sandbox import Sandbox

DOCUMENTS = ("SR", "DOC")
BATCH = 16
"""Studies fetched before they are stored: what an import that is stopped has to do again, at most."""
_MOST_CONTEXTS = 126  # of storage classes in one association; 128 are allowed (PS3.8)


class ArchiveIndex(Protocol):
    """An archive that can be listed and fetched from.

    Attributes:
        name: by which the library remembers what came from it.
    """

    @property
    def name(self) -> str: ...

    def studies(self) -> frozenset[str]:
        """Study Instance UIDs of all studies with radiographs. Raises: NodeError."""

    def fetch(self, study: str) -> Iterator[Dataset]:
        """The radiographs and documents of a study. Raises: NodeError."""


@dataclass(frozen=True, slots=True)
class ArchiveImport:
    """What became of the import of an archive.

    Attributes:
        listed: studies in the archive. known: of them in the library before. gone: deleted here, as they were there.
    """

    listed: int
    known: int
    gone: int
    imported: Imported


def import_archive(
    library: Library,
    checkpoint: Checkpoint,
    archive: ArchiveIndex,
    sandbox: Sandbox,
    *,
    progress: Progress = lambda done, of: None,
) -> ArchiveImport:
    """Add what is new in an archive, and delete what came from it and is there no more.

    Raises:
        NodeError: ``peer_unreachable``; ``peer_refused``, also where an archive lists nothing though studies came from
            it: nothing is deleted then.
    """
    uids = {pseudonym(library.secret, uid): uid for uid in archive.studies()}
    before = library.exchange.indexed(archive.name)
    if before and not uids:
        raise NodeError("peer_refused", "the archive lists no study at all.", "Nothing was deleted here.")
    known = uids.keys() & set(library.ids())
    todo = sorted(uids.keys() - known)
    run = FileImport(library, checkpoint, sandbox)
    for start in range(0, len(todo), BATCH):
        some = todo[start : start + BATCH]
        with tempfile.TemporaryDirectory(prefix="lingula-") as folder:
            run.store(list(_groups(run, sandbox, archive, [uids[each] for each in some], Path(folder))))
        library.exchange.note_indexed(archive.name, sorted(set(library.summaries(some))))
        progress(start + len(some), len(todo))
    gone = before - uids.keys()
    if present := gone & set(library.ids()):
        delete_studies(library, present)
    library.exchange.forget_origins(gone)
    return ArchiveImport(len(uids), len(known), len(present), run.result(Path()))


def _groups(
    run: FileImport, sandbox: Sandbox, archive: ArchiveIndex, studies: Sequence[str], folder: Path
) -> Iterator[Group]:  # fmt: skip
    """The films of each study with its report: the longest of its documents."""
    for number, study in enumerate(studies):
        films: list[Source] = []
        documents: list[Source] = []
        for at, dataset in enumerate(archive.fetch(study)):
            modality, place = str(dataset.get("Modality", "")), folder / f"{number}-{at}.dcm"
            if modality not in (*MODALITIES, *DOCUMENTS):
                continue
            dataset.save_as(place, enforce_file_format=True)
            (documents if modality in DOCUMENTS else films).append(Source(place, Path(place.name), str(number)))
        report = _report(sandbox, documents)
        for group in run.grouped(films):
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


class WebIndex:
    """An archive with a DICOMweb address."""

    def __init__(self, web: WebTarget) -> None:
        self._client = web_client(web)
        self.name = web.url

    def studies(self) -> frozenset[str]:
        found: set[str] = set()
        for modality in MODALITIES:
            filters = {"ModalitiesInStudy": modality}
            items = listed(self._client.search_for_studies, search_filters=filters, tag=STUDY)
            found |= {value_of(item, STUDY) for item in items}
        return frozenset(found - {""})

    def fetch(self, study: str) -> Iterator[Dataset]:
        yield from asked(self._client.retrieve_study, study)


class DimseIndex:
    """An archive that answers to C-FIND and C-GET."""

    def __init__(self, peer: SendSettings) -> None:
        self._peer = peer
        self.name = f"{peer.aet}@{peer.host}:{peer.port}"

    def studies(self) -> frozenset[str]:
        association = associate(self._peer, [(StudyRootQueryRetrieveInformationModelFind, None)])
        found: set[str] = set()
        try:
            for modality in MODALITIES:
                query = Dataset()
                query.QueryRetrieveLevel, query.StudyInstanceUID, query.ModalitiesInStudy = "STUDY", "", modality
                found |= {str(each.get("StudyInstanceUID", "")) for each in find(association, query)}
        finally:
            association.release()
        return frozenset(found - {""})

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
