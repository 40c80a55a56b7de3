"""Who may ask a server for what, and who did: users with roles, their tokens, the audit trail of a library.

A token is known by its SHA-256 alone: whoever reads the library's file cannot sign in with what stands there. Writing
here changes no study: the library's revision stays. The trail names users, routes and keyed names of studies; nothing
of a patient.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from sqlalchemy import delete, insert, select, update

from lingula.errors import InputError
from lingula.library.schema import AccessTokenRow, AccountRow, AuditEventRow, ReviewRow, TeachingAnswerRow
from lingula.library.table_records import TableRecords

Role = Literal["read", "teach", "administer"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do what those before it may."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._-]{0,63}")
_SHOWN = 12
"""Hex digits of a token's hash that name it."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user; ``made`` in seconds since 1970, as all times here."""

    name: str
    role: Role
    made: float


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token as it may be shown: ``token_id`` names it, nobody signs in with that.

    Attributes:
        until: when it ends; None for never. revoked: when it was; None where it was not.
    """

    token_id: str
    name: str
    made: float
    until: float | None
    revoked: float | None


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One line of the trail.

    Attributes:
        actor: user, ``server token``, ``local``, ``class``, or ``-`` for somebody unknown.
        kind: method and route, without values. subject: keyed name of the study it was about; empty for none.
        status: of the answer. request: its identifier, as in the log.
    """

    at: float
    actor: str
    kind: str
    subject: str
    status: int
    request: str


def check_role(role: str) -> Role:
    """The role.

    Raises:
        InputError: ``bad_request`` for another word.
    """
    if role not in ROLES:
        raise InputError("bad_request", f"there is no role {role!r}.", f"Roles: {', '.join(ROLES)}.")
    return role


def hash_of(token: str) -> str:
    """SHA-256 of a token, hex: it is random and long, so that a plain digest is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class AccessRecords(TableRecords):
    """Users, tokens and trail of one library."""

    # -- users

    def accounts(self) -> tuple[Account, ...]:
        """All users, by name."""
        rows = self._rows(select(AccountRow.__table__).order_by(AccountRow.name))
        return tuple(Account(**row._mapping) for row in rows)

    def add_account(self, name: str, role: str) -> Account:
        """A new user.

        Raises:
            InputError: ``bad_request`` for a name that is taken or has other characters, or an unknown role.
        """
        if not _NAME.fullmatch(name):
            raise InputError("bad_request", f"{name!r} is no name of a user.", "Letters, digits and @ . _ -")
        account = Account(name, check_role(role), time.time())
        with self._transaction() as connection:
            if connection.execute(select(AccountRow.name).where(AccountRow.name == name)).first():
                raise InputError("bad_request", f"there is a user {name!r}.", "lingula user role changes the role.")
            connection.execute(insert(AccountRow), asdict(account))
        return account

    def change_role(self, name: str, role: str) -> None:
        """Give a user another role.

        Raises:
            InputError: ``bad_request``; ``not_found``.
        """
        if self._write(update(AccountRow).where(AccountRow.name == name).values(role=check_role(role))) != 1:
            raise _unknown(name)

    def remove_account(self, name: str) -> int:
        """Remove a user with all tokens and all that is recorded of learning under the name, but for what was answered
        by a class link, which belongs to the class; the trail keeps the name.

        Returns:
            How many answers went.

        Raises:
            InputError: ``not_found``.
        """
        own = (TeachingAnswerRow.student == name, TeachingAnswerRow.link_id == "")
        with self._transaction() as connection:
            if connection.execute(delete(AccountRow).where(AccountRow.name == name)).rowcount != 1:
                raise _unknown(name)
            connection.execute(delete(AccessTokenRow).where(AccessTokenRow.name == name))
            connection.execute(delete(ReviewRow).where(ReviewRow.student == name))
            return connection.execute(delete(TeachingAnswerRow).where(*own)).rowcount

    # -- tokens

    def add_token(self, name: str, *, days: float | None = None) -> tuple[str, AccessToken]:
        """A new token of a user: itself, which is told this once, and how it is listed.

        Raises:
            InputError: ``not_found`` for an unknown user; ``bad_request`` for a time that is none.
        """
        if days is not None and not 0 < days <= 36_500:
            raise InputError("bad_request", f"a token of {days} days", "Give more than 0 and at most 36500.")
        token, now = secrets.token_urlsafe(32), time.time()
        hashed, until = hash_of(token), None if days is None else now + 86400 * days
        values = {"token_hash": hashed, "name": name, "made": now, "until": until, "revoked": None}
        with self._transaction() as connection:
            if not connection.execute(select(AccountRow.name).where(AccountRow.name == name)).first():
                raise _unknown(name)
            connection.execute(insert(AccessTokenRow), values)
        return token, AccessToken(hashed[:_SHOWN], name, now, until, None)

    def tokens(self) -> tuple[AccessToken, ...]:
        """All tokens, the latest first, those that ended or were revoked as well."""
        rows = self._rows(select(AccessTokenRow.__table__).order_by(AccessTokenRow.made.desc()))
        return tuple(AccessToken(row.token_hash[:_SHOWN], row.name, row.made, row.until, row.revoked) for row in rows)

    def revoke_token(self, token_id: str) -> None:
        """Let a token be refused from now on.

        Raises:
            InputError: ``not_found``.
        """
        named = AccessTokenRow.token_hash.startswith(token_id, autoescape=True)
        with self._transaction() as connection:
            found = connection.execute(select(AccessTokenRow.token_hash).where(named)).scalars().all()
            if len(token_id) < _SHOWN or len(found) != 1:
                hint = "lingula token list names them."
                raise InputError("not_found", f"there is no token {token_id!r}.", hint)
            own = (AccessTokenRow.token_hash == found[0], AccessTokenRow.revoked.is_(None))
            connection.execute(update(AccessTokenRow).where(*own).values(revoked=time.time()))

    def holder(self, token: str) -> Account | None:
        """Whose token it is; None where it is nobody's, has ended or was revoked."""
        wanted = (
            select(AccountRow.__table__, AccessTokenRow.until, AccessTokenRow.revoked)
            .join(AccessTokenRow, AccessTokenRow.name == AccountRow.name)
            .where(AccessTokenRow.token_hash == hash_of(token))
        )
        row = next(iter(self._rows(wanted)), None)
        if row is None or row.revoked is not None or (row.until is not None and row.until <= time.time()):
            return None
        return Account(row.name, row.role, row.made)

    # -- trail

    def note(self, events: Sequence[AuditEvent]) -> None:
        """Add to the trail."""
        if events:
            self._write(insert(AuditEventRow), [asdict(event) for event in events])

    def events(
        self, *, actor: str = "", subject: str = "", since: float = 0, limit: int = 100
    ) -> tuple[AuditEvent, ...]:
        """The latest of the trail first: of an actor, about a study by its keyed name, since a time."""
        table = AuditEventRow.__table__
        wanted = select(*(table.c[name] for name in AuditEvent.__slots__)).where(AuditEventRow.at >= since)
        if actor:
            wanted = wanted.where(AuditEventRow.actor == actor)
        if subject:
            wanted = wanted.where(AuditEventRow.subject == subject)
        rows = self._rows(wanted.order_by(AuditEventRow.number.desc()).limit(limit))
        return tuple(AuditEvent(**row._mapping) for row in rows)

    def forget_events(self, before: float) -> int:
        """Take out what is older than a time; how many lines."""
        return self._write(delete(AuditEventRow).where(AuditEventRow.at < before))

    def copy_from(self, other: AccessRecords) -> None:
        """Take users and tokens of another library, where this one has no user; for backups."""
        if self.accounts():
            return
        for table in (AccountRow, AccessTokenRow):
            if rows := [dict(row._mapping) for row in other._rows(select(table.__table__))]:
                self._write(insert(table), rows)


def _unknown(name: str) -> InputError:
    return InputError("not_found", f"there is no user {name!r}.", "lingula user list names them.")
