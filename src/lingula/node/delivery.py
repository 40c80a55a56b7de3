"""Objects to an archive, and whether it has them: by DICOMweb (STOW-RS, QIDO-RS) or DIMSE (C-STORE, C-FIND).

An answer to a store says that something was received. Whether it was stored is asked afterwards.
"""

from __future__ import annotations

import io
import socket
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pydicom
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from lingula.errors import NodeError
from lingula.node.receiver import client_tls
from lingula.node.settings import SendSettings, WebTarget, secret_of

SECONDS = 30.0
"""For which a target may keep silent."""
STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"
"""Tags of the identifiers."""
_SUCCESSES = (0x0000, 0xB000, 0xB006, 0xB007)
_PENDING = (0xFF00, 0xFF01)


class StorageTarget(Protocol):
    """Where objects are stored and looked for."""

    def store(self, files: Sequence[bytes]) -> None:
        """Send objects of one study.

        Raises:
            NodeError: ``peer_unreachable``, ``peer_refused``; some may have been stored all the same.
        """

    def stored(self, files: Sequence[bytes]) -> frozenset[str]:
        """Which of these objects the archive has, by SOP Instance UID.

        Raises:
            NodeError: ``peer_unreachable``, ``peer_refused``.
        """


def target_of(settings: SendSettings) -> StorageTarget:
    """The target of these settings."""
    return WebArchive(settings.web) if settings.url else DimseArchive(settings)


def unreachable(error: Exception) -> NodeError:
    """A peer that did not answer; what it said is left out, as it may hold anything."""
    return NodeError("peer_unreachable", f"the other side did not answer ({type(error).__name__}).", "Is it running?")


def refused(status: object) -> NodeError:
    return NodeError("peer_refused", f"the other side refused ({status}).", "Look at its log.")


def web_client(web: WebTarget) -> DICOMwebClient:
    """A client for a DICOMweb address with its credentials and certificates."""
    session = requests.Session()
    if web.token:
        session.headers["Authorization"] = f"Bearer {secret_of(web.token)}"
    elif web.user:
        name, _, word = secret_of(web.user).partition(":")
        session.auth = (name, word)
    if web.tls is not None:
        session.trust_env = False  # else REQUESTS_CA_BUNDLE would stand for the authority that is named
        session.verify = str(web.tls.authority) if web.tls.authority else True
        if web.tls.certificate and web.tls.key:
            session.cert = (str(web.tls.certificate), str(web.tls.key))
    client = DICOMwebClient(web.url, session=session, timeout=SECONDS)
    client.set_http_retry_params(retry=False)  # the outbox tries again
    weakref.finalize(client, session.close)  # connections end with the client that uses them
    return client


def asked(call: Any, *args: Any, **named: Any) -> Any:
    """The answer of a DICOMweb call.

    Raises:
        NodeError: ``peer_unreachable``, ``peer_refused``.
    """
    try:
        return call(*args, **named)
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else "no status"
        raise (unreachable(error) if status in (502, 503, 504) else refused(f"HTTP {status}")) from None
    except requests.RequestException as error:
        raise unreachable(error) from None
    except (ValueError, KeyError, TypeError) as error:
        raise refused(f"an answer that cannot be read, {type(error).__name__}") from None


def listed(call: Any, *args: Any, tag: str, **named: Any) -> list[dict[str, Any]]:
    """All answers to a search, page by page, each once by its element ``tag``.

    Some servers know no offset for some searches and begin anew each time: a page without anything new is the end.

    Raises:
        NodeError: as ``asked``.
    """
    found: dict[str, dict[str, Any]] = {}
    while True:
        page = asked(call, *args, offset=len(found), **named)
        new = {value_of(item, tag): item for item in page if value_of(item, tag) not in found}
        if not new:
            return list(found.values())
        found |= new


class WebArchive:
    """A DICOMweb address."""

    def __init__(self, web: WebTarget) -> None:
        self._client = web_client(web)

    def store(self, files: Sequence[bytes]) -> None:
        asked(self._client.store_instances, [_read(data) for data in files])

    def stored(self, files: Sequence[bytes]) -> frozenset[str]:
        heads = [_head(data) for data in files]
        found: set[str] = set()
        for study in sorted({str(head.StudyInstanceUID) for head in heads}):
            items = listed(self._client.search_for_instances, study, fields=["SOPInstanceUID"], tag=INSTANCE)
            found |= {value_of(item, INSTANCE) for item in items}
        return frozenset(str(head.SOPInstanceUID) for head in heads) & frozenset(found)


def value_of(item: dict[str, Any], tag: str) -> str:
    """The first value of an element in the DICOM JSON model (PS3.18 F); empty for none."""
    values = item.get(tag, {}).get("Value") or [""]
    return str(values[0])


@dataclass(frozen=True, slots=True)
class DimseArchive:
    """An AE title at a host and port."""

    settings: SendSettings

    def store(self, files: Sequence[bytes]) -> None:
        datasets = [_read(data) for data in files]
        classes = {str(dataset.SOPClassUID): str(dataset.file_meta.TransferSyntaxUID) for dataset in datasets}
        association = self._associate([(kind, [syntax, "1.2.840.10008.1.2"]) for kind, syntax in classes.items()])
        try:
            for dataset in datasets:
                status = association.send_c_store(dataset)
                if "Status" not in status:
                    raise unreachable(ConnectionError())
                if status.Status not in _SUCCESSES:
                    raise refused(f"status {status.Status:04X}")
        except ValueError as error:  # no presentation context was accepted for this class
            raise refused(type(error).__name__) from None
        finally:
            association.release()

    def stored(self, files: Sequence[bytes]) -> frozenset[str]:
        heads = [_head(data) for data in files]
        association = self._associate([(StudyRootQueryRetrieveInformationModelFind, None)])
        found: set[str] = set()
        try:
            for study, series in sorted({(str(h.StudyInstanceUID), str(h.SeriesInstanceUID)) for h in heads}):
                found |= {str(each.get("SOPInstanceUID", "")) for each in find(association, _instances(study, series))}
        finally:
            association.release()
        return frozenset(str(head.SOPInstanceUID) for head in heads) & frozenset(found)

    def _associate(self, contexts: Sequence[tuple[Any, list[str] | None]]) -> Any:
        return associate(self.settings, contexts)


def associate(settings: SendSettings, contexts: Sequence[tuple[Any, list[str] | None]], **given: Any) -> Any:
    """An association that was accepted.

    Raises:
        NodeError: ``peer_unreachable``, ``peer_refused``.
    """
    try:
        socket.create_connection((settings.host, settings.port), SECONDS).close()
    except OSError as error:  # pynetdicom would leave the socket open
        raise unreachable(error) from None
    entity = AE(settings.own_aet)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = SECONDS
    for kind, syntaxes in contexts:
        entity.add_requested_context(kind, syntaxes)
    tls = (client_tls(settings.tls), settings.host) if settings.tls is not None else None
    association = entity.associate(settings.host, settings.port, ae_title=settings.aet, tls_args=tls, **given)
    if association.is_rejected:
        raise refused("the association")
    if not association.is_established:
        raise unreachable(ConnectionError())
    return association


def find(association: Any, query: Dataset) -> list[Dataset]:
    """The answers to a C-FIND.

    Raises:
        NodeError: ``peer_unreachable``, ``peer_refused``.
    """
    answers = []
    for status, identifier in association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind):
        if "Status" not in status:
            raise unreachable(ConnectionError())
        if status.Status in _PENDING and identifier is not None:
            answers.append(identifier)
        elif status.Status != 0x0000:
            raise refused(f"status {status.Status:04X}")
    return answers


def _instances(study: str, series: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    query.StudyInstanceUID, query.SeriesInstanceUID, query.SOPInstanceUID = study, series, ""
    return query


def _read(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def _head(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
