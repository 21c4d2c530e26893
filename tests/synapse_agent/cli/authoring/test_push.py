"""`push`, from a folder to a run of its release, on a real agent."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import AuthorizationError, ConflictError, NotFoundError, ValidationError

FILES = {
    "config.yaml": "code: mine\nversion: 1.0.0\nretries: 3\nactions: {go: 'main:go'}\n",
    "main.py": "from pathlib import Path\ndef go(): return sorted(path.name for path in Path().iterdir())\n",
    ".gitignore": "*.env\n",
    "secret.env": "PASSWORD=1",
}


@pytest.fixture
def taker(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedAgent]:
    """An agent that accepts releases; the environment has its address and token."""
    with EmbeddedAgent(allow_push=True) as agent:
        monkeypatch.setenv("SYNAPSE_AGENT_URL", agent.base_url)
        monkeypatch.setenv("SYNAPSE_AGENT_TOKEN", agent.token)
        yield agent


@pytest.fixture
def folder(tmp_path: Path, write_plugin) -> Path:
    return write_plugin(tmp_path / "mine", FILES)


@pytest.mark.usefixtures("taker")
def test_a_folder_becomes_a_release(cli, folder: Path) -> None:
    """Ignored files are left out, and warnings are shown; pushing the same files again changes nothing."""
    pushed = cli("push", str(folder))
    assert (pushed.code, json.loads(pushed.out)["plugin"]) == (0, "mine")
    assert "Ignored: secret.env" in pushed.err
    assert "warning: config.yaml: 'retries' has no effect" in pushed.err
    assert cli("push", str(folder)).out == pushed.out
    assert json.loads(cli("run", "mine@1.0.0", "go").out) == [".gitignore", "config.yaml", "main.py"]


@pytest.mark.usefixtures("taker")
def test_other_files_are_refused_until_they_may_replace(cli, folder: Path) -> None:
    """The message has both fixes."""
    before = json.loads(cli("push", str(folder)).out)
    (folder / "main.py").write_text("def go(): return 'new'\n")
    refused = cli("push", str(folder))
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.splitlines()[-1] == (
        "synapse-agent: 'mine@1.0.0' is cached with other files. Raise the version in its config.yaml, or replace it. "
        "'synapse-agent push PATH --replace' replaces it."
    )
    replaced = json.loads(cli("push", "--replace", str(folder)).out)
    assert (replaced["id"], replaced["digest"] != before["digest"]) == (before["id"], True)
    assert json.loads(cli("run", "mine@1.0.0", "go").out) == "new"


def test_an_agent_that_accepts_no_uploads_is_reported(cli, folder: Path, known: EmbeddedAgent) -> None:
    """The message has the operator's option; the exit code is 4."""
    refused = cli("push", str(folder))
    assert refused.code == 4
    assert "--allow-push" in refused.err
    assert "no config.yaml" in cli("push", str(folder.parent)).err
    with known.client() as client, pytest.raises(AuthorizationError):
        client.push_plugin_release(archive(FILES))


def archive(files: dict[str, str]) -> io.BytesIO:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as target:
        for name, text in files.items():
            target.writestr(zipfile.ZipInfo(name), text)
    content.seek(0)
    return content


Push = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def push(request: pytest.FixtureRequest, taker: EmbeddedAgent) -> Push:
    def at_once(*arguments: Any, **options: Any) -> Any:
        with taker.client() as client:
            return client.push_plugin_release(*arguments, **options)

    async def later(*arguments: Any, **options: Any) -> Any:
        async with taker.async_client() as client:
            return await client.push_plugin_release(*arguments, **options)

    return at_once if request.param == "sync" else lambda *a, **o: asyncio.run(later(*a, **o))


def test_both_clients_push_archives(push: Push, taker: EmbeddedAgent, tmp_path: Path) -> None:
    """They accept a path or an open file; an invalid archive and a missing file have errors of their own."""
    path = tmp_path / "mine.zip"
    path.write_bytes(archive(FILES).read())
    release = push(path)
    assert push(str(path)) == push(archive(FILES)) == release
    other = archive({**FILES, "more.txt": ""})
    with pytest.raises(ConflictError, match="is cached with other files") as caught:
        push(other)
    assert (caught.value.error_type, caught.value.outcome) == ("release_conflict", "rejected")
    other.seek(0)
    assert push(other, replace=True)["id"] == release["id"]
    with pytest.raises(ValidationError, match="it is not a zip archive"):
        push(io.BytesIO(b"text"))
    with pytest.raises((ValueError, OSError)):
        push(tmp_path / "nowhere.zip")
    with taker.client() as client:
        assert_there(client, "mine@1.0.0")


def assert_there(client: AgentClient, lookup: str) -> None:
    assert client.run_plugin_release(lookup, "go")[-1] == "secret.env"
    client.delete_plugin_release(lookup)
    with pytest.raises(NotFoundError):
        client.get_plugin_release(lookup)
