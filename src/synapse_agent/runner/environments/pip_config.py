"""Translate pip's settings about indexes for uv.

uv reads none of pip's configuration. On a machine that reaches its index through `pip.conf` or `PIP_INDEX_URL`, uv
would use another index, or find none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from configparser import Error, RawConfigParser
from pathlib import Path

_SECTIONS = ("global", "install")
_NULL_FILE = "/dev/null"
_UV_NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
}
"""pip's key: uv's variable, and the separator of a list in it."""
_OLD_UV_NAMES = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
_TRUE = ("1", "true", "yes", "on")


def uv_options(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the options of `uv pip install` for pip's settings that no variable of uv's replaces."""
    no_index = pip_settings(environ).get("no-index", "").lower() in _TRUE
    return ("--no-index",) if no_index else ()


def uv_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that make uv use pip's indexes, except those that `environ` has already."""
    said = pip_settings(environ)
    settings = {
        uv: separator.join(said[pip].split()) for pip, (uv, separator) in _UV_NAMES.items() if said.get(pip, "").strip()
    }
    if "UV_INDEX" in settings:  # pip uses the best version of all indexes; uv, by default, that of the first
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {
        name: value
        for name, value in settings.items()
        if name not in environ and _OLD_UV_NAMES.get(name, name) not in environ
    }


def index_environ(index_url: str | None, extra_index_urls: Sequence[str]) -> dict[str, str]:
    """Return the variables for the agent's own settings of indexes, which replace those of `uv_settings`."""
    chosen = {} if index_url is None else {"UV_DEFAULT_INDEX": index_url}
    return {**chosen, **({"UV_INDEX": " ".join(extra_index_urls)} if extra_index_urls else {})}


def pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Read pip's configuration files and `PIP_*` variables, the later ones taking precedence; keys as in the files.

    The section `install` of any file takes precedence over `global`.
    """
    settings: dict[str, str] = {}
    parsers = [_read(path) for path in _files(environ)]
    for section in _SECTIONS:
        for parser in parsers:
            if parser.has_section(section):
                settings.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    for name, value in environ.items():
        if name.startswith("PIP_"):
            settings[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return settings


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Return pip's configuration files in its order: machine, user, environment, `PIP_CONFIG_FILE`.

    pip skips the user's files if `PIP_CONFIG_FILE` exists.
    """
    named = environ.get("PIP_CONFIG_FILE")
    if named == _NULL_FILE:
        return
    yield from (Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"))
    if (home := environ.get("HOME")) and not (named and Path(named).exists()):
        yield Path(home, ".pip", "pip.conf")
        yield Path(environ.get("XDG_CONFIG_HOME") or Path(home, ".config"), "pip", "pip.conf")
    yield Path(sys.prefix, "pip.conf")
    if named:
        yield Path(named)


def _read(path: Path) -> RawConfigParser:
    parser = RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, Error):
        return RawConfigParser()  # pip itself reports the invalid file
    return parser
