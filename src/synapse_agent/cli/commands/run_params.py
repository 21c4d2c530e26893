"""The params of a run, parsed from a command line."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from synapse_agent.cli.failures import UsageFailure

_PAIR = re.compile(r"\w+=.*")


def read_params(whole: str | None, single: Iterable[str]) -> dict[str, Any] | None:
    """Return the params: a JSON object, given as text, `@file` or `-`, updated with single `key=value`s.

    A single `key=@file` becomes a `Path` to upload; `key=@@text` is text that begins with an `@`. None without any
    params. Raises `UsageFailure` for anything but a JSON object, a single param without a key, and a missing file.
    """
    params = None if whole is None else _object(_source(whole))
    for text in single:
        params = {**(params or {}), **_single(text)}
    return params


def _source(whole: str) -> tuple[str, str]:
    """Return the text, and a name for it in messages."""
    if whole == "-":
        return sys.stdin.read(), "stdin"
    if not whole.startswith("@"):
        return whole, "--params"
    path = Path(whole[1:])
    try:
        return path.read_text(encoding="utf-8-sig"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageFailure(f"--params: {path} cannot be read: {why}. Pass another as --params @FILE.") from error


def _object(source: tuple[str, str]) -> dict[str, Any]:
    text, name = source
    try:
        value = _json(text)
    except (ValueError, RecursionError) as error:
        if _PAIR.fullmatch(text):
            raise UsageFailure(f"--params takes JSON. Write a single param as -p {shlex.quote(text)}.") from error
        raise UsageFailure(
            f"{name} is not JSON ({error}). Use an object such as '{{\"epochs\": 10}}', @FILE, or - for stdin."
        ) from error
    if not isinstance(value, dict):
        raise UsageFailure(f"{name} is JSON, but not an object. Use one such as '{{\"epochs\": 10}}'.")
    return value


def _single(text: str) -> dict[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise UsageFailure(f"--param {text!r} is invalid. Use KEY=VALUE, such as epochs=10.")
    if value.startswith("@"):
        return {key: value[1:] if value.startswith("@@") else _file(text, Path(value[1:]))}
    try:
        return {key: _json(value)}
    except (ValueError, RecursionError):
        return {key: value}


def _file(text: str, path: Path) -> Path:
    if not path.is_file():
        why = "is a folder, which can't be sent: use an archive of it" if path.is_dir() else "is not a file"
        raise UsageFailure(f"--param {text}: {path} {why}. For text that begins with @, write @@.")
    return path


def _json(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
