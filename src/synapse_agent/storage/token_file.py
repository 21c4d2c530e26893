"""The token that callers must bring, and the file an agent keeps its own in."""

from __future__ import annotations

import secrets
from pathlib import Path

from synapse_agent.errors import StartError
from synapse_agent.storage.atomic_write import write_atomically

TOKEN_FILE = "token"
STANDARD_INPUT = Path("-")


def make_token() -> str:
    """Make a token that cannot be guessed."""
    return secrets.token_urlsafe(32)


def kept_token(data_dir: Path) -> tuple[str, Path]:
    """Give the token that the agent made for itself and the file that holds it, making both where there are none."""
    path = data_dir / TOKEN_FILE
    if path.exists():
        return read_token(path), path
    token = make_token()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, f"{token}\n".encode(), mode=0o600)
    except OSError as error:
        raise StartError(
            f"The token file {path} cannot be written: {error.strerror}. Name another data folder."
        ) from error
    return token, path


def read_token(path: Path) -> str:
    """Read a token file: its text without the white space around it. `-` is standard input, read to its end."""
    try:
        text = _standard_input() if path == STANDARD_INPUT else path.read_text(encoding="utf-8")
        return checked_token(text.strip(), source="standard input" if path == STANDARD_INPUT else str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"The token file {path} cannot be read: {error}") from error


def _standard_input() -> str:
    with open(0, encoding="utf-8", closefd=False) as file:
        return file.read()


def checked_token(token: str, *, source: str) -> str:
    """Give the token back if a header can carry it: visible ASCII characters, at least one."""
    if not token or not all("!" <= character <= "~" for character in token):
        raise StartError(
            f"The token in {source} must be visible ASCII characters without blanks, at least one of them."
        )
    return token
