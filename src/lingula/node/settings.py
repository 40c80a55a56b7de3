"""Options of ``lingula node``: the tables ``[node]``, ``[node.receive]``, ``[node.poll]`` and ``[[node.send]]``."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from lingula.errors import InputError
from lingula.node.kinds import DEFAULT_KINDS

AE_TITLE = re.compile(r"[!-\[\]-~](?:[ !-\[\]-~]{0,14}[!-\[\]-~])?")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Files of a TLS connection (PEM).

    Attributes:
        certificate, key: what this side shows; both or neither. authority: by whom the other side is to be certified;
            a server without one lets everybody in who is allow-listed.
    """

    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None


@dataclass(frozen=True, slots=True)
class AllowedSender:
    """Who may send: an AE title, and the address or network (``10.0.0.0/8``) it sends from."""

    aet: str
    address: str


@dataclass(frozen=True, slots=True)
class ReceiveSettings:
    """A C-STORE server.

    Attributes:
        allow: nobody else is let in. processes: that receive; associations of each run in parallel.
        free_bytes: on the disk of the spool, below which films are refused for now (A700).
    """

    aet: str = "LINGULA"
    host: str = "127.0.0.1"
    port: int = 11112
    allow: tuple[AllowedSender, ...] = ()
    processes: int = 2
    free_bytes: int = 1_000_000_000
    tls: TlsFiles | None = None


@dataclass(frozen=True, slots=True)
class WebTarget:
    """A DICOMweb address.

    Attributes:
        token: name of an environment variable, or a file, that holds a bearer token; never the token itself.
        user: name of an environment variable or a file that holds ``name:password``.
    """

    url: str
    token: str = ""
    user: str = ""
    tls: TlsFiles | None = None


@dataclass(frozen=True, slots=True)
class PollSettings:
    """A DICOMweb address that is looked at for new studies, every so many seconds."""

    url: str
    seconds: float = 60.0
    token: str = ""
    user: str = ""
    tls: TlsFiles | None = None

    @property
    def web(self) -> WebTarget:
        return WebTarget(self.url, self.token, self.user, self.tls)


@dataclass(frozen=True, slots=True)
class SendSettings:
    """Where results go: a DICOMweb address (``url``), or an AE title at a host and port.

    Attributes:
        name: of the target, in status and log. own_aet: how the node calls itself there.
    """

    name: str
    url: str = ""
    aet: str = ""
    host: str = ""
    port: int = 104
    own_aet: str = "LINGULA"
    token: str = ""
    user: str = ""
    tls: TlsFiles | None = None

    @property
    def web(self) -> WebTarget:
        return WebTarget(self.url, self.token, self.user, self.tls)


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Everything of one node.

    Attributes:
        library: holds inbox and outbox, and is searched for similar studies. model: checkpoint.
        name: of the node, unique among those that share a library; its spool belongs to it.
        spool: folder for films and results until they are delivered.
        kinds: of results. quiet_seconds: a study is taken as complete when nothing came for so long.
        lease_seconds: for how long a worker may hold a study or a delivery.
        history_days: for how long settled work is listed.
    """

    library: str = "library.sqlite"
    model: str = "compact"
    name: str = "node"
    spool: Path = Path("spool")
    kinds: tuple[str, ...] = DEFAULT_KINDS
    quiet_seconds: float = 5.0
    lease_seconds: float = 120.0
    history_days: float = 30.0
    receive: ReceiveSettings | None = None
    poll: PollSettings | None = None
    send: tuple[SendSettings, ...] = field(default=())

    def checked(self) -> NodeSettings:
        """The same settings.

        Raises:
            InputError: ``bad_request`` for settings that cannot work.
        """
        from lingula.node.kinds import checked_kinds

        checked_kinds(self.kinds)
        if self.receive is None and self.poll is None:
            raise _wrong("the node neither receives nor polls", "Write [node.receive] or [node.poll].")
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", self.name):
            raise _wrong(f"name {self.name!r}", "Letters, digits, dots and dashes.")
        if self.receive is not None:
            _check_receive(self.receive)
        names = [target.name for target in self.send]
        if len(set(names)) < len(names) or "" in names:
            raise _wrong("two targets of one name, or one without", "Name each [[node.send]].")
        for target in self.send:
            if bool(target.url) == bool(target.aet and target.host):
                raise _wrong(f"target {target.name!r}", "Give it a url, or aet, host and port.")
        return self


def _check_receive(receive: ReceiveSettings) -> None:
    if not receive.allow:
        raise _wrong("nobody is allowed to send", "List AE titles and addresses under [[node.receive.allow]].")
    for sender in receive.allow:
        if not AE_TITLE.fullmatch(sender.aet):
            raise _wrong(f"AE title {sender.aet!r}", "1 to 16 printable characters.")
        try:
            ipaddress.ip_network(sender.address, strict=False)
        except ValueError:
            raise _wrong(f"address {sender.address!r}", "Write 10.1.2.3 or 10.1.0.0/16.") from None
    if receive.processes < 1:
        raise _wrong("processes of [node.receive]", "At least 1.")


def _wrong(what: str, hint: str) -> InputError:
    return InputError("bad_request", f"[node]: {what}.", hint)


def secret_of(named: str) -> str:
    """What an environment variable of this name holds, else the file at this path; empty for no name.

    Raises:
        InputError: ``not_found`` where there is neither.
    """
    if not named:
        return ""
    if named in os.environ:
        return os.environ[named]
    try:
        return Path(named).read_text("utf-8").strip()
    except OSError:
        hint = "Name an environment variable or a file."
        raise InputError("not_found", f"there is no secret at {named!r}.", hint) from None
