"""user, token, trail: who may ask the server of a library for what, and who did."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Any

import typer

from lingula.cli import output
from lingula.cli.options import DEFAULT_LIBRARY, Json, LibraryAt, stored
from lingula.study import DISCLAIMER

Name = Annotated[str, typer.Argument(help="Name of the user.")]
RoleName = Annotated[str, typer.Option("--role", help="read, teach or administer; each may what those before it may.")]


def register(app: typer.Typer) -> None:
    users = typer.Typer(no_args_is_help=True, help="Users of lingula serve, and what they may do.")
    users.command("add")(add)
    users.command("list")(list_users)
    users.command("role")(role_of)
    users.command("remove")(remove)
    app.add_typer(users, name="user")
    tokens = typer.Typer(no_args_is_help=True, help="Tokens by which users sign in.")
    tokens.command("add")(add_token)
    tokens.command("list")(list_tokens)
    tokens.command("revoke")(revoke)
    app.add_typer(tokens, name="token")
    app.command()(trail)


def add(name: Name, role: RoleName = "read", library: LibraryAt = DEFAULT_LIBRARY, json: Json = False) -> None:
    """Add a user. From the first one on, lingula serve wants a token of everybody.

    Example: [bold]lingula user add ada --role teach[/]
    """
    with stored(library) as opened:
        account = opened.access.add_account(name, role)
    shown = f"{account.name} may {account.role}. A token: lingula token add {account.name}"
    output.tell(_body(user=account), json, shown)


def list_users(library: LibraryAt = DEFAULT_LIBRARY, json: Json = False) -> None:
    """All users.

    Example: [bold]lingula user list[/]
    """
    with stored(library) as opened:
        accounts = opened.access.accounts()
    if json:
        return output.write_json(_body(users=accounts))
    rows = ((account.name, account.role, _time(account.made)) for account in accounts)
    output.show_table(("name", "role", "since"), rows, "There are no users.")


def role_of(
    name: Name,
    role: Annotated[str, typer.Argument(help="read, teach or administer.")],
    library: LibraryAt = DEFAULT_LIBRARY,
    json: Json = False,
) -> None:
    """Give a user another role.

    Example: [bold]lingula user role ada administer[/]
    """
    with stored(library) as opened:
        opened.access.change_role(name, role)
    output.tell(_body(name=name, role=role), json, f"{name} may {role} now.")


def remove(name: Name, library: LibraryAt = DEFAULT_LIBRARY, json: Json = False) -> None:
    """Remove a user with all tokens and the record of practice. The audit trail keeps the name.

    Example: [bold]lingula user remove ada[/]
    """
    with stored(library) as opened:
        opened.access.remove_account(name)
    output.tell(_body(removed=name), json, f"{name} is removed.")


def add_token(
    name: Name,
    days: Annotated[float | None, typer.Option(help="For how long; by default until it is revoked.")] = None,
    library: LibraryAt = DEFAULT_LIBRARY,
    json: Json = False,
) -> None:
    """Make a token. It is shown this once: the library keeps its hash alone.

    Example: [bold]lingula token add ada --days 180[/]
    """
    with stored(library) as opened:
        token, shown = opened.access.add_token(name, days=days)
    if json:
        return output.write_json(_body(token=token, shown=shown))
    output.out.print(token, highlight=False, soft_wrap=True)
    until = f"until {_time(shown.until)}" if shown.until else "until it is revoked"
    output.err.print(f"{name} signs in with it {until}; in lists it is {shown.token_id}.", highlight=False)


def list_tokens(library: LibraryAt = DEFAULT_LIBRARY, json: Json = False) -> None:
    """All tokens, by the name under which one is revoked.

    Example: [bold]lingula token list[/]
    """
    with stored(library) as opened:
        tokens = opened.access.tokens()
    if json:
        return output.write_json(_body(tokens=tokens))
    rows = []
    for token in tokens:
        ended = token.until is not None and token.until <= time.time()
        state = f"revoked {_time(token.revoked)}" if token.revoked else "ended" if ended else "good"
        if state == "good" and token.until:
            state = f"good until {_time(token.until)}"
        rows.append((token.token_id, token.name, _time(token.made), state))
    output.show_table(("token", "user", "since", "state"), rows, "There are no tokens.")


def revoke(
    token: Annotated[str, typer.Argument(help="As lingula token list names it.")],
    library: LibraryAt = DEFAULT_LIBRARY,
    json: Json = False,
) -> None:
    """Revoke a token: a running server refuses it within two seconds.

    Example: [bold]lingula token revoke 3f2a9c01d4e5[/]
    """
    with stored(library) as opened:
        opened.access.revoke_token(token)
    output.tell(_body(revoked=token), json, f"{token} is revoked.")


def trail(
    study: Annotated[str, typer.Option(help="Only what was about this study, by its id.")] = "",
    user: Annotated[str, typer.Option(help="Only what this user did.")] = "",
    days: Annotated[float, typer.Option(help="Of the last so many days.")] = 30,
    limit: Annotated[int, typer.Option(help="How many lines, the latest first.")] = 100,
    library: LibraryAt = DEFAULT_LIBRARY,
    json: Json = False,
) -> None:
    """Who looked at what, changed what, and what left: the trail of lingula serve. Studies have keyed names in it.

    Example: [bold]lingula trail --user ada --days 7[/]
    """
    from lingula.library.identity import pseudonym

    with stored(library) as opened:
        key = pseudonym(opened.secret, study) if study else ""
        since = time.time() - 86400 * days
        events = opened.access.events(actor=user, subject=key, since=since, limit=limit)
    if json:
        return output.write_json(_body(events=events))
    rows = ((_time(e.at), output.plain(e.actor), e.kind, str(e.status), e.subject[-12:]) for e in events)
    output.show_table(("when", "who", "what", "answer", "study"), rows, "Nothing is written down.")


def _body(**values: Any) -> dict[str, Any]:
    from lingula.plain import plain

    return {"disclaimer": DISCLAIMER, **plain(values)}


def _time(at: float) -> str:
    return datetime.fromtimestamp(at).isoformat(" ", "seconds")
