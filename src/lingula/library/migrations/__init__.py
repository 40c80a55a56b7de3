"""The schema's history, as Alembic revisions (https://alembic.sqlalchemy.org); they travel inside the package."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

HEAD = "10"
"""The revision this version of lingula works with."""

FIRST = "1"
"""The revision of libraries from before there were revisions."""


def upgrade(connection: sa.Connection, *, since: str | None) -> None:
    """Bring the tables from revision ``since`` (None: there are none) to ``HEAD``, in the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    if since == FIRST:
        command.stamp(config, FIRST)
    command.upgrade(config, HEAD)
