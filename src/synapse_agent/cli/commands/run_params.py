"""The params of a run, as they are written on a command line."""

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
    """Return the params: an object given as JSON, `@file` or `-`, with single `key=value`s laid over it.

    A single `key=@file` is a `Path`, to be sent; `key=@@text` is a text that begins with an `@`. None if nothing was
    given. Raises `UsageFailure` for what is not a JSON object, a single one without a key, and a missing file.
    """
    params = None if whole is None else _object(_source(whole))
    for text in single:
        params = {**(params or {}), **_single(text)}
    return params


def _source(whole: str) -> tuple[str, str]:
    """Return the text, and what to call it."""
    if whole == "-":
        return sys.stdin.read(), "stdin"
    if not whole.startswith("@"):
        return whole, "--params"
    path = Path(whole[1:])
    try:
        return path.read_text(encoding="utf-8-sig"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFailure(f"--params: {path} cannot be read: {error}. Name a file of JSON after the @.") from error


def _object(source: tuple[str, str]) -> dict[str, Any]:
    text, name = source
    try:
        value = _json(text)
    except (ValueError, RecursionError) as error:
        if _PAIR.fullmatch(text):
            raise UsageFailure(f"--params takes JSON. Write a single param as -p {shlex.quote(text)}.") from error
        raise UsageFailure(
            f"{name} is not JSON ({error}). Give an object such as '{{\"epochs\": 10}}', @FILE, or - for stdin."
        ) from error
    if not isinstance(value, dict):
        raise UsageFailure(f"{name} is JSON, but no object. Give one such as '{{\"epochs\": 10}}'.")
    return value


def _single(text: str) -> dict[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise UsageFailure(f"--param {text!r} is no KEY=VALUE, such as epochs=10.")
    if value.startswith("@"):
        return {key: value[1:] if value.startswith("@@") else _file(text, Path(value[1:]))}
    try:
        return {key: _json(value)}
    except (ValueError, RecursionError):
        return {key: value}


def _file(text: str, path: Path) -> Path:
    if not path.is_file():
        why = "is a folder; send an archive of it" if path.is_dir() else "is not a file"
        raise UsageFailure(f"--param {text}: {path} {why}. A text that begins with @ is written with two: @@.")
    return path


def _json(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
