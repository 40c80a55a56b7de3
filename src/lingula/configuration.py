"""One configuration file (TOML) and the environment variables of the same names, read into frozen dataclasses.

A table of the file belongs to one command: ``[serve]``, ``[node]``. ``library``, ``model`` and ``device`` stand above
all tables and hold for each. ``port`` in ``[serve]`` is ``LINGULA_SERVE_PORT``, ``key`` in ``[node.tls]`` is
``LINGULA_NODE_TLS_KEY``, ``library`` is ``LINGULA_LIBRARY``. What is given on the command line outranks the
environment, the environment the file, the file what is set by default.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
import types
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from lingula.errors import InputError, storage_error

T = TypeVar("T")
SHARED = ("library", "model", "device")
"""Keys above all tables, which every command reads."""
MOST = 1 << 20
"""Bytes of a configuration file."""
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def read_configuration(file: Path) -> dict[str, Any]:
    """The tables of a configuration file.

    Raises:
        InputError: ``not_found``, ``too_large``, ``bad_request`` where it is not TOML, with line and column.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(MOST + 1)
    except FileNotFoundError:
        raise InputError("not_found", f"there is no configuration file {file}.", "Check the path.") from None
    except OSError as error:
        raise storage_error(error, f"{file} cannot be read") from error
    if len(data) > MOST:
        raise InputError("too_large", f"{file} has more than {MOST} bytes.", "It is no configuration file.")
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError("bad_request", f"{file} is not TOML: {error}.", "See docs/operation.md.") from None


def table_of(file: Path, table: str, keys: Collection[str]) -> dict[str, Any]:
    """One table of a file, with what stands above all tables, unchecked but for its keys.

    Args:
        keys: which the table may have.

    Raises:
        InputError: ``bad_request`` for another key, naming the nearest; and as ``read_configuration``.
    """
    whole = read_configuration(file)
    values = whole.get(table, {})
    if not isinstance(values, dict):
        raise InputError("bad_request", f"{table} in {file} is no table.", f"Write [{table}] above its keys.")
    loose = [key for key, value in whole.items() if not isinstance(value, dict) and key not in SHARED]
    for name, known in ((f"[{table}] of {file}", values), (f"{file}, above all tables,", loose)):
        _refuse_unknown(name, known, keys if known is values else SHARED)
    shared = {key: whole[key] for key in SHARED if key in whole and key in keys}
    return {**shared, **values}


def configured(kind: type[T], table: str, file: Path | None = None, environment: Mapping[str, str] | None = None) -> T:
    """A dataclass from a table of a file and from the environment.

    Args:
        kind: a dataclass of ``str``, ``int``, ``float``, ``bool``, ``Path``, ``tuple[str, ...]``, optional values,
            dataclasses (sub-tables) and tuples of dataclasses (arrays of tables).
        table: its name in the file; also in the environment, ``LINGULA_TABLE_KEY``.
        file: None reads the environment alone.

    Raises:
        InputError: ``bad_request`` for an unknown key, a value of another type or one that is missing.
    """
    fields = [field.name for field in dataclasses.fields(cast(Any, kind))]
    values = table_of(file, table, fields) if file is not None else {}
    place = f"[{table}]" + (f" of {file}" if file is not None else "")
    return _build(kind, values, place, f"LINGULA_{table.upper()}", os.environ if environment is None else environment)


def _refuse_unknown(place: str, values: Collection[str], known: Collection[str]) -> None:
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(sorted(known))}."
            raise InputError("bad_request", f"{place} has an unknown key {key!r}.", hint)


def _build(kind: type[T], values: Mapping[str, Any], place: str, prefix: str, environment: Mapping[str, str]) -> T:
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(cast(Any, kind))}
    _refuse_unknown(place, values, fields)
    built: dict[str, Any] = {}
    for name, field in fields.items():
        shared = name in SHARED and prefix.count("_") == 1
        known_as = f"LINGULA_{name.upper()}" if shared else f"{prefix}_{name.upper()}"
        where, inner = f"{name} in {place}", _plain_type(hints[name])
        if dataclasses.is_dataclass(inner):
            if name in values or any(key.startswith(f"{known_as}_") for key in environment):
                built[name] = _build(
                    cast(type, inner), _table(values.get(name, {}), where), where, known_as, environment
                )
        elif known_as in environment:
            built[name] = _from_text(environment[known_as], inner, known_as)
        elif name in values:
            built[name] = _from_toml(values[name], inner, where, known_as)
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if name not in built and not has_default:
            raise InputError("bad_request", f"{where} is missing.", f"Write it there, or set {known_as}.")
    return kind(**built)


def _plain_type(hint: Any) -> Any:
    """The type without ``| None``."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return next(each for each in typing.get_args(hint) if each is not types.NoneType)
    return hint


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError("bad_request", f"{where} is no table.", "Write key = value pairs.")
    return value


def _from_toml(value: Any, kind: Any, where: str, known_as: str) -> Any:
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise InputError("bad_request", f"{where} is no list.", "Write it in brackets.")
        inner = typing.get_args(kind)[0]
        if dataclasses.is_dataclass(inner):
            return tuple(_build(cast(type, inner), _table(each, where), where, known_as, {}) for each in value)
        return tuple(_from_toml(each, inner, where, known_as) for each in value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and type(value) is int:
        return float(value)
    if typing.get_origin(kind) is typing.Literal:
        if value not in typing.get_args(kind):
            options = ", ".join(map(str, typing.get_args(kind)))
            raise InputError("bad_request", f"{where} is {value!r}.", f"It is one of {options}.")
        return value
    if type(value) is not kind:
        raise InputError("bad_request", f"{where} is {value!r}.", f"It is to be of type {kind.__name__}.")
    return value


def _from_text(text: str, kind: Any, known_as: str) -> Any:
    """As the environment gives it: lists with commas between."""
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        if dataclasses.is_dataclass(inner):
            raise InputError("bad_request", f"{known_as} cannot be set in the environment.", "Use the file.")
        return tuple(_from_text(each.strip(), inner, known_as) for each in text.split(",") if each.strip())
    try:
        if kind is bool:
            if text.lower() not in (*_TRUE, *_FALSE):
                raise ValueError(text)
            return text.lower() in _TRUE
        made = kind(text) if kind in (int, float) else text
    except ValueError:
        raise InputError("bad_request", f"{known_as} is {text!r}.", f"It is to be of type {kind.__name__}.") from None
    return _from_toml(os.fspath(made) if isinstance(made, Path) else made, kind, known_as, known_as)
