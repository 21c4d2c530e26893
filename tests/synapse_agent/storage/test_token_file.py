"""Tokens and the file that holds them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from synapse_agent.settings import Settings, StartError, UsageError
from synapse_agent.storage.token_file import below, checked_token, kept_token, make_token, read_token, read_tokens


def test_a_kept_token_is_made_once(tmp_path: Path) -> None:
    """Its folder may be missing; only the owner can read the file."""
    token, path = kept_token(tmp_path / "new" / "data")
    assert kept_token(tmp_path / "new" / "data") == (token, path)
    assert read_token(path) == token
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_tokens_are_long_and_different() -> None:
    """They can't be guessed."""
    tokens = {make_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 40


@pytest.mark.parametrize("token", ["", "two words", "line\n", "é", "\x7f", " "])
def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    """The message does not repeat it."""
    with pytest.raises(StartError, match="visible ASCII") as caught:
        checked_token(token, source="somewhere")
    assert not token.strip() or token not in str(caught.value)


def _settings(*files: str, token: str | None = None) -> Settings:
    return Settings(data_dir=Path("x"), token=token, token_files=files)


def test_tokens_have_names_and_may_be_for_looking_only(tmp_path: Path) -> None:
    """A token without a name is called `default`, like that of `--token`."""
    for name in ("a", "b=c"):
        (tmp_path / name).write_text(f"secret-{name}")
    tokens = read_tokens(_settings(f"ci={tmp_path}/a", f"{tmp_path}/b=c:read"))
    assert [(token.name, token.secret, token.may_change) for token in tokens] == [
        ("ci", "secret-a", True),
        ("default", "secret-b=c", False),
    ]
    assert "secret" not in repr(tokens)
    assert read_tokens(_settings()) == ()


def test_two_tokens_of_one_name_or_one_text_are_refused(tmp_path: Path) -> None:
    """Otherwise a record would not show which of them was used."""
    (tmp_path / "a").write_text("same")
    with pytest.raises(UsageError, match=r"default, default.*NAME=FILE"):
        read_tokens(_settings(f"{tmp_path}/a", token="other"))
    with pytest.raises(UsageError, match="one, two"):
        read_tokens(_settings(f"one={tmp_path}/a", f"two={tmp_path}/a"))


def test_a_configuration_file_names_token_files_beside_itself() -> None:
    """They keep their names and purposes."""
    folder = Path("/etc/agent")
    assert below(folder, "ci=tokens/ci:read") == "ci=/etc/agent/tokens/ci:read"
    assert below(folder, "/run/token") == "/run/token"
    assert below(folder, "-") == "-"


def test_a_token_is_in_no_repr() -> None:
    """Settings are logged."""
    assert "secret" not in repr(Settings(backend="x", backend_token="secret", data_dir=Path("x"), token="secret"))


def test_a_token_comes_from_standard_input() -> None:
    """Then neither the agent nor actions need access to its file."""
    command = [sys.executable, "-c", "from synapse_agent.storage.token_file import *; print(read_token(Path('-')))"]
    for given, said in ((b" secret\n", "secret"), (b"", "standard input must be"), (b"\xff", "cannot be read")):
        ended = subprocess.run(command, input=given, capture_output=True, check=False)
        assert said in (ended.stdout + ended.stderr).decode()
    closed = subprocess.run(command, capture_output=True, check=False, preexec_fn=lambda: os.close(0))
    assert b"The token file - cannot be read: [Errno 9]" in closed.stderr
