"""A C-STORE server that writes what it receives to a spool, and nothing else: run as a process of its own.

A data set goes to the spool's disk as it comes, in its transfer syntax, and is synchronised with its folder before
success is answered; nothing of it is parsed here, so that associations do not wait for each other. Several processes
share the port. It starts without a model and ends when its parent does.
"""

from __future__ import annotations

import ipaddress
import json
import os
import queue
import re
import select
import shutil
import socket
import ssl
import struct
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import asdict, replace
from pathlib import Path
from socketserver import BaseServer
from typing import IO, Any

from pynetdicom import AE, _config, association, evt, transport
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dul import DULServiceProvider
from pynetdicom.presentation import StoragePresentationContexts, build_context
from pynetdicom.sop_class import Verification
from pynetdicom.transport import AssociationSocket, ThreadedAssociationServer

from lingula.durable_file import sync
from lingula.node.settings import AllowedSender, ReceiveSettings, TlsFiles

INCOMING = "incoming"
SUCCESS, OUT_OF_RESOURCES, FAILED = 0x0000, 0xA700, 0xC000
READY = "ready"
TRANSFER_SYNTAXES = (
    "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",
)  # fmt: skip
_FRAGMENT = struct.Struct(">BxIIxB")
"""Head of a P-DATA-TF PDU and of its first item (PS3.8 9.3.5): kind, length, the item's, control byte (annex E.2)."""
_P_DATA, _NOT_MIDDLE = 4, 0b11
"""Kind of such a PDU; bits of a control byte: of a command, the last fragment."""
_PATIENCE = 0.02
"""Seconds until an association looks for anything else, while a data set comes."""
_LONGEST_PDU, _MOST_PDU = 1 << 17, 1 << 20
"""Bytes of a PDU that senders are asked to keep to (a film of 7 MB comes in 56 instead of 430), and that are read."""


class _PromptSocket(AssociationSocket):  # type: ignore[misc]  # pynetdicom is not followed
    """Reads a PDU in few large parts, and acknowledges each at once.

    Senders write the head of a PDU apart from its body; Nagle's algorithm keeps the body back until the head is
    acknowledged, which a receiver puts off by 40 ms: of a film's 50 ms, 40 would be waiting.
    """

    def recv(self, nr_bytes: int) -> bytearray:
        if nr_bytes > _MOST_PDU:
            return bytearray()  # taken as a connection that was closed
        data = bytearray(nr_bytes)
        return data[: self.fill(memoryview(data))]

    def fill(self, view: memoryview) -> int:
        """Read until a buffer is full; how many bytes came before the connection ended."""
        at = 0
        while at < len(view):
            if hasattr(socket, "TCP_QUICKACK"):
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            read = self.socket.recv_into(view[at:])
            if not read:
                break
            at += read
        return at

    def head(self) -> bytes:
        """What comes next, as far as it is here, up to the head of a data fragment; it stays to be read. Nothing where
        the connection is encrypted."""
        if isinstance(self.socket, ssl.SSLSocket):
            return b""
        return bytes(self.socket.recv(_FRAGMENT.size, socket.MSG_PEEK))


class _PromptProvider(DULServiceProvider):  # type: ignore[misc]
    """Writes fragments of a data set from the connection to its file, but for the last, which ends the message.

    pynetdicom makes a PDU, a primitive and a message of each and copies it five times, and looks a thousand times a
    second whether there is another; with several senders at once, that took most of the processor's time.
    """

    def _read_pdu_data(self) -> None:
        while (file := self._open_file()) is not None and len(head := self.socket.head()) == _FRAGMENT.size:
            kind, length, fragment, control = _FRAGMENT.unpack(head)
            if kind != _P_DATA or length != fragment + 4 or control & _NOT_MIDDLE or not 2 < fragment <= _MOST_PDU:
                break
            data = memoryview(bytearray(length + 6))
            if self.socket.fill(data) < len(data):
                self.event_queue.put("Evt17")  # the connection was closed (PS3.8 9.2)
                return
            file.write(data[_FRAGMENT.size :])
            self._idle_timer.restart()
            if not select.select([self.socket.socket], [], [], _PATIENCE)[0]:
                return
        super()._read_pdu_data()

    def _open_file(self) -> IO[bytes] | None:
        """The file of a data set that is coming; None while nothing, or anything else, comes."""
        message = self.assoc.dimse.message
        is_coming = message is not None and self.state_machine.current_state == "Sta6" and self.event_queue.empty()
        return message._data_set_file if is_coming else None


class _PromptMessages(DIMSEServiceProvider):  # type: ignore[misc]
    """Lets an association sleep while a data set comes, until it is there."""

    def get_msg(self, block: bool = False) -> tuple[int | None, Any]:
        if block or self.message is None:
            answer: tuple[int | None, Any] = super().get_msg(block)
            return answer
        try:
            return self.msg_queue.get(timeout=_PATIENCE)  # type: ignore[no-any-return]
        except queue.Empty:
            return None, None


class _SharedPort(ThreadedAssociationServer):  # type: ignore[misc]
    """A server whose port other processes listen to as well, and that lets nobody in but from allowed addresses."""

    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    request_queue_size = 64

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        address = ipaddress.ip_address(client_address[0])
        is_allowed = any(address in network for network in self.networks)
        if not is_allowed:
            tell_refusal(str(address), "")
        return is_allowed


class Receiver:
    """Writes films into ``spool/incoming``.

    Args:
        spool: folder of the node; its temporary folder of the same disk is where films arrive.
    """

    def __init__(self, settings: ReceiveSettings, spool: Path) -> None:
        self._settings = settings
        self._incoming = spool / INCOMING
        self._arriving = spool / "arriving"
        for folder in (self._incoming, self._arriving):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._allowed = [(each.aet, ipaddress.ip_network(each.address, strict=False)) for each in settings.allow]

    def server(self) -> _SharedPort:
        """The server, bound and not yet serving."""
        _config.STORE_RECV_CHUNKED_DATASET = True
        transport.AssociationSocket, association.DULServiceProvider = _PromptSocket, _PromptProvider
        association.DIMSEServiceProvider = _PromptMessages
        tempfile.tempdir = str(self._arriving)  # where pynetdicom writes a data set as it comes
        entity = AE(self._settings.aet)
        entity.require_called_aet = True
        entity.maximum_associations, entity.maximum_pdu_size = 100, _LONGEST_PDU
        entity.network_timeout, entity.dimse_timeout, entity.acse_timeout = 60, 60, 30
        classes = [str(context.abstract_syntax) for context in StoragePresentationContexts]
        contexts = [build_context(each, list(TRANSFER_SYNTAXES)) for each in classes] + [build_context(Verification)]
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_C_ECHO, lambda event: SUCCESS),
                    (evt.EVT_REQUESTED, self._requested)]  # fmt: skip
        address = (self._settings.host, self._settings.port)
        tls = server_tls(self._settings.tls) if self._settings.tls else None
        kind = type("Server", (_SharedPort,), {"networks": tuple(network for _, network in self._allowed)})
        made: _SharedPort = entity.make_server(
            address, contexts=contexts, ssl_context=tls, evt_handlers=handlers, server_class=kind
        )
        return made

    def _requested(self, event: Any) -> None:
        """Refuse an association whose AE title is allowed, but not from this address."""
        requestor = event.assoc.requestor
        address, title = ipaddress.ip_address(requestor.address), str(requestor.primitive.calling_ae_title).strip()
        if not any(title == allowed and address in network for allowed, network in self._allowed):
            tell_refusal(str(address), title)
            event.assoc.acse.send_reject(0x01, 0x01, 0x03)  # rejected for good: calling AE title not recognised
            event.assoc.kill()

    def _store(self, event: Any) -> int:
        if shutil.disk_usage(self._incoming).free < self._settings.free_bytes:
            return OUT_OF_RESOURCES
        sender = "".join(c if c.isalnum() or c in "-_" else "_" for c in str(event.assoc.requestor.ae_title).strip())
        try:
            keep(Path(event.dataset_path), self._incoming, sender)
        except OSError:
            return OUT_OF_RESOURCES
        return SUCCESS


REFUSAL = re.compile(r"refused (\S+) ?(\S*)")
_TOLD: dict[tuple[str, str], float] = {}
_TELL_AGAIN, _MOST_TOLD = 60.0, 1000


def tell_refusal(address: str, title: str) -> None:
    """Tell the node, a line on standard output (``REFUSAL``), whom it did not let in; the same one once a minute."""
    now = time.monotonic()
    if now - _TOLD.get((address, title), -_TELL_AGAIN) < _TELL_AGAIN or len(_TOLD) > _MOST_TOLD:
        return
    _TOLD[address, title] = now
    printable = "".join(c for c in title if " " < c <= "~")
    sys.stdout.write(f"refused {address} {printable}\n")
    sys.stdout.flush()


def keep(file: Path, incoming: Path, sender: str) -> Path:
    """Give a written file its place in the spool; it is on the disk, name and all, when this returns.

    Returns:
        ``<unique>.<sender>.dcm`` in ``incoming``. The file keeps its former name as well.
    """
    sync(file)
    place = incoming / f"{uuid.uuid4().hex}.{sender}.dcm"
    os.link(file, place)
    sync(incoming)
    return place


def sender_of(film: str) -> str:
    """The sender in the name of a file of the spool."""
    parts = film.split(".")
    return parts[1] if len(parts) == 3 else ""


def server_tls(files: TlsFiles) -> ssl.SSLContext:
    """TLS for a server; with an authority, clients must show a certificate of it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if files.certificate is not None:
        context.load_cert_chain(files.certificate, files.key)
    if files.authority is not None:
        context.load_verify_locations(files.authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_tls(files: TlsFiles) -> ssl.SSLContext:
    """TLS for a client; servers are certified by the authority, else by those the system trusts."""
    context = ssl.create_default_context(cafile=str(files.authority) if files.authority else None)
    if files.certificate is not None:
        context.load_cert_chain(files.certificate, files.key)
    return context


def options_of(settings: ReceiveSettings, spool: Path) -> str:
    """Settings as the one argument of a receiving process."""
    return json.dumps({"spool": str(spool.absolute()), "settings": asdict(settings)}, default=str)


def _settings_of(body: dict[str, Any]) -> ReceiveSettings:
    tls = body["tls"] and TlsFiles(**{key: value and Path(value) for key, value in body["tls"].items()})
    allow = tuple(AllowedSender(**each) for each in body["allow"])
    return replace(ReceiveSettings(), **{**body, "tls": tls, "allow": allow})


def main(options: str) -> None:
    """Serve until standard input ends."""
    given = json.loads(options)
    server = Receiver(_settings_of(given["settings"]), Path(given["spool"])).server()
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    BaseServer.shutdown(server)  # what is half received was not acknowledged


if __name__ == "__main__":
    main(sys.argv[1])
