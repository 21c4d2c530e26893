"""The tokens that callers send, and the file with the agent's own."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from synapse_agent.errors import StartError, UsageError
from synapse_agent.settings import Settings
from synapse_agent.storage.atomic_write import write_atomically

TOKEN_FILE = "token"
STANDARD_INPUT = Path("-")
DEFAULT_NAME = "default"
_SPECIFICATION = re.compile(r"(?:([A-Za-z0-9][A-Za-z0-9._-]{0,63})=)?(.+?)(:read)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Token:
    """A token that callers may send."""

    name: str
    """Its name in logs and records."""
    secret: str = field(repr=False)
    may_change: bool = True
    """Whether it is not read-only."""


def read_tokens(settings: Settings) -> tuple[Token, ...]:
    """Read the tokens of callers; none if the agent needs none."""
    tokens = [] if settings.token is None else [Token(DEFAULT_NAME, settings.token)]
    tokens += map(_read_named, settings.token_files)
    for what in ("name", "secret"):
        if len({getattr(token, what) for token in tokens}) < len(tokens):
            names = ", ".join(token.name for token in tokens)
            raise UsageError(f"Each token needs its own name and text: {names}. Pass them with --token-file NAME=FILE.")
    return tuple(tokens)


def below(folder: Path, specification: str) -> str:
    """Return the specification of a token file whose path is relative to a folder."""
    name, file, read = _parts(specification)
    return f"{name + '=' if name else ''}{file if file == str(STANDARD_INPUT) else folder / file}{read or ''}"


def _read_named(specification: str) -> Token:
    name, file, read = _parts(specification)
    return Token(name or DEFAULT_NAME, read_token(Path(file)), may_change=read is None)


def _parts(specification: str) -> tuple[str | None, str, str | None]:
    match = _SPECIFICATION.fullmatch(specification)
    if match is None:
        raise UsageError("--token-file is empty. Use NAME=FILE, NAME=FILE:read or FILE.")
    name, file, read = match.groups()
    return name, file, read


def make_token() -> str:
    """Create a token that cannot be guessed."""
    return secrets.token_urlsafe(32)


def kept_token(data_dir: Path) -> tuple[str, Path]:
    """Return the agent's own token and its file, creating both if missing."""
    path = data_dir / TOKEN_FILE
    if path.exists():
        return read_token(path), path
    token = make_token()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, f"{token}\n".encode(), mode=0o600)
    except OSError as error:
        raise StartError(
            f"The token file {path} cannot be written: {error.strerror}. Pass another data folder."
        ) from error
    return token, path


def read_token(path: Path) -> str:
    """Read a token file, stripped. `-` is standard input, read to its end."""
    try:
        text = _standard_input() if path == STANDARD_INPUT else path.read_text(encoding="utf-8")
        return checked_token(text.strip(), source="standard input" if path == STANDARD_INPUT else str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"The token file {path} cannot be read: {error}") from error


def _standard_input() -> str:
    with open(0, encoding="utf-8", closefd=False) as file:
        return file.read()


def checked_token(token: str, *, source: str) -> str:
    """Return the token if a header can carry it: at least one visible ASCII character, and no others."""
    if not token or not all("!" <= character <= "~" for character in token):
        raise StartError(f"The token in {source} must be visible ASCII characters without blanks, and not empty.")
    return token
