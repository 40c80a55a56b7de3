"""Films of an archive that has no sender for the node: its DICOMweb address is looked at from time to time."""

from __future__ import annotations

import hashlib
import hmac
import threading
from pathlib import Path

from pydicom.dataset import Dataset

from lingula.durable_file import put_in_place, sync
from lingula.node.delivery import INSTANCE, SERIES, STUDY, asked, listed, value_of, web_client
from lingula.node.settings import PollSettings

MODALITIES = ("CR", "DX", "DR", "RG")
SENDER = "POLL"


class Poller:
    """Brings films into a spool that were never brought before.

    Args:
        incoming: folder of the spool. secret: of the library; names of files are made with it and say nothing.
    """

    def __init__(
        self, settings: PollSettings, incoming: Path, secret: bytes, known: frozenset[str] = frozenset()
    ) -> None:
        self._client = web_client(settings.web)
        self._incoming, self._secret = incoming, secret
        self._known = set(known)

    def fetch(self, stop: threading.Event) -> bool:
        """Bring what is new; whether anything was.

        Raises:
            NodeError: ``peer_unreachable``, ``peer_refused``.
        """
        brought = False
        for modality in MODALITIES:
            filters = {"Modality": modality}
            for series in listed(self._client.search_for_series, search_filters=filters, tag=SERIES):
                study, uid = value_of(series, STUDY), value_of(series, SERIES)
                for item in listed(self._client.search_for_instances, study, uid, tag=INSTANCE):
                    if stop.is_set():
                        return brought
                    brought |= self._bring(study, uid, value_of(item, INSTANCE))
        return brought

    def _bring(self, study: str, series: str, instance: str) -> bool:
        name = self._name(instance)
        if name in self._known:
            return False
        dataset = asked(self._client.retrieve_instance, study, series, instance)
        write(dataset, self._incoming / name)
        self._known.add(name)
        return True

    def _name(self, instance: str) -> str:
        """Of the film's file: equal for equal films, and no other says whose it is."""
        return f"{hmac.new(self._secret, instance.encode(), hashlib.sha256).hexdigest()[:32]}.{SENDER}.dcm"


def write(dataset: Dataset, place: Path) -> None:
    """A data set as a file that is on the disk, name and all, when this returns."""
    part = place.with_suffix(".part")
    dataset.save_as(part, enforce_file_format=True)
    put_in_place(part, place)
    sync(place.parent)
