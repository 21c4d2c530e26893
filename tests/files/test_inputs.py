"""Files in params: the facade sends them, and the action finds them."""

from __future__ import annotations

import io
import os
import tempfile
import textwrap
import tracemalloc
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.clients.agent.hooks import RequestInfo
from synapse_sdk.exceptions import NotFoundError, ValidationError

SEES = """
    import hashlib, os
    from pathlib import Path

    def seen(value):
        if isinstance(value, dict):
            return {name: seen(item) for name, item in value.items()}
        if isinstance(value, list):
            return [seen(item) for item in value]
        if not isinstance(value, str) or not value.startswith(os.environ["HOME"]):
            return value
        path = Path(value)
        return [path.name, hashlib.sha256(path.read_bytes()).hexdigest(), os.access(path, os.W_OK)]

    def act(**params):
        return seen(params)
    """


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return sha256(path.read_bytes()).hexdigest()


def test_paths_and_open_files_arrive_as_files_of_the_run(act, picture: Path, tmp_path: Path) -> None:
    """They may be anywhere in params, and keep their names, even equal ones; a `str` stays a `str`."""
    other = tmp_path / "other" / "input.jpg"
    other.parent.mkdir()
    other.write_bytes(b"other")
    with picture.open("rb") as open_file:
        open_file.read(10)
        rest = sha256(picture.read_bytes()[10:]).hexdigest()
        params = {"image": picture, "deep": {"list": [other, (picture,), 1]}, "text": str(picture), "open": open_file}
        result = act(SEES, params)
        assert open_file.tell() == 10
    assert [result["image"][:2], result["deep"]["list"][0][:2]] == [
        ["input.jpg", digest(picture)],
        ["input.jpg", digest(other)],
    ]
    assert result["deep"]["list"][1:] == [[result["image"]], 1]
    assert result["open"][:2] == ["input.jpg", rest]
    assert result["text"] == str(picture)


def test_files_without_a_name_are_files_too(act) -> None:
    """This covers files in memory, and temporary ones, whose name is a number."""
    with tempfile.TemporaryFile() as unnamed, tempfile.NamedTemporaryFile(suffix=".png") as named:
        for file in (unnamed, named):
            file.write(b"12345")
            file.seek(0)
        result = act(SEES, {"memory": io.BytesIO(b"12345"), "unnamed": unnamed, "named": named})
        assert [name for name, _, _ in result.values()] == ["file", "file", Path(named.name).name]
    assert {hashed for _, hashed, _ in result.values()} == {sha256(b"12345").hexdigest()}


def test_what_the_run_does_with_a_file_does_not_reach_the_store(act, picture: Path) -> None:
    """The file is read-only, or the run's own copy."""
    source = """
        import os
        def act(image):
            for attempt in (lambda: open(image, "ab").write(b"x"), lambda: os.chmod(image, 0o777),
                            lambda: open(image, "wb").write(b"x"), lambda: os.unlink(image)):
                try:
                    attempt()
                except OSError:
                    pass
        """
    act(source, {"image": picture})
    assert act(SEES, {"image": picture})["image"][1] == digest(picture)


@pytest.mark.parametrize("runner", ["local"], indirect=True)
def test_a_file_is_sent_once(agent: EmbeddedAgent, tmp_path: Path) -> None:
    """The client asks the agent first, and sends nothing the second time. Files with the same content are one file."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"sent once" * 1000)
    sent: Counter[str] = Counter()
    with agent.client(on_request=lambda info: sent.update([_name(info)])) as client:
        plugin = _plugin(SEES)
        for _ in range(2):
            client.run_debug_plugin_release("act", {"files": [tmp_path / "a", tmp_path / "b"]}, **plugin)
    assert sent == {"GET files": 4, "PUT content": 1, "POST run_debug": 2}


def test_data_takes_files_like_params(client: AgentClient, picture: Path) -> None:
    """`data=` may contain files in its params."""
    client.create_plugin_release("takes", "1.0.0")
    result = client.run_plugin_release("takes@1.0.0", data={"action": "look", "params": {"image": picture}})
    assert result == ["input.jpg", picture.stat().st_size]
    assert client.run_plugin_release("takes@1.0.0", "look", {"image": picture}) == result


@pytest.mark.anyio
async def test_the_asynchronous_client_does_the_same(agent: EmbeddedAgent, picture: Path, tmp_path: Path) -> None:
    """Run, upload, download, delete."""
    async with agent.async_client() as client:
        result = await client.run_debug_plugin_release("act", {"image": picture}, **_plugin(SEES))
        assert result["image"][:2] == ["input.jpg", digest(picture)]
        seen: list[tuple[int, int]] = []
        reference = await client.upload_file(io.BytesIO(b"async"), on_progress=lambda *moved: seen.append(moved))
        assert seen == [(5, 5)]
        assert (await client.download_file(reference, to=tmp_path / "back")).read_bytes() == b"async"
        await client.delete_file(reference)
        with pytest.raises(NotFoundError, match="has no file"):
            await client.download_file(reference, to=tmp_path)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda folder: folder / "none.jpg", "none.jpg does not exist"),
        (lambda folder: folder, "is a folder: send its files, or an archive of it"),
        (lambda _: Path("/dev/null"), "/dev/null is not a regular file"),
        (lambda folder: (folder / "text").open("w+", encoding="utf-8"), "is open as text: open it with mode 'rb'"),
        (lambda folder: _closed(folder / "closed"), "the file is closed"),
        (lambda _: os.fdopen(os.pipe()[0], "rb"), "the file has no position, like a pipe: send one from the disk"),
    ],
)
def test_what_cannot_be_sent_is_named_with_its_place(make: Any, why: str, tmp_path: Path, picture: Path) -> None:
    """Nothing is sent: no agent runs in this test."""
    value = make(tmp_path)
    with AgentClient("http://127.0.0.1:9", max_retries=0) as client:
        with pytest.raises(ValueError, match=r"^params\.images\[1\]\.file can't be sent: ") as caught:
            client.run_plugin_release("x@1", "act", {"images": [picture, {"file": value}]})
        assert why in str(caught.value)
        with pytest.raises(ValueError, match="can't be sent"):
            client.upload_file(value)
        with pytest.raises(TypeError, match=r"config\.image can't be sent as JSON: PosixPath is not a JSON type"):
            client.run_debug_plugin_release("act", {"image": picture}, config={"image": picture})
    if not isinstance(value, Path):
        value.close()


@pytest.mark.parametrize("runner", ["local"], indirect=True)
def test_a_file_that_the_agent_has_lost_is_sent_once_more(agent: EmbeddedAgent, picture: Path) -> None:
    """The client sends it again if the agent removed it before the run; a caller's own reference is refused."""
    file_id = digest(picture)
    with agent.client() as other:
        runs: list[str] = []

        def lose(info: RequestInfo) -> None:
            if info.url.endswith("/run_debug/"):
                runs.append(info.url)
                if len(runs) == 1:
                    other.delete_file(file_id)

        with agent.client(on_request=lose) as client:
            result = client.run_debug_plugin_release("act", {"image": picture}, **_plugin(SEES))
        assert (result["image"][1], len(runs)) == (file_id, 2)
        other.delete_file(file_id)
        own = {"image": {"$file": {"id": file_id, "name": "input.jpg"}}}
        with pytest.raises(ValidationError, match=r"does not have the file 'input.jpg'") as caught:
            other.run_debug_plugin_release("act", own, **_plugin(SEES))
        assert (caught.value.error_type, caught.value.outcome) == ("file_not_found", "rejected")


@pytest.mark.parametrize("runner", ["local"], indirect=True)
def test_large_files_take_little_memory(agent: EmbeddedAgent, tmp_path: Path) -> None:
    """The client holds a few parts of 8 MiB, whatever the size; `make large` measures both sides."""
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(200 * 2**20)
    with agent.client() as client:
        client.health_check()
        tracemalloc.start()
        reference = client.upload_file(path)
        client.download_file(reference, to=tmp_path / "back.bin")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        client.delete_file(reference)
    assert (tmp_path / "back.bin").stat().st_size == 200 * 2**20
    # This includes the agent, which is in this process.
    assert peak < 60 * 2**20


def test_more_files_than_a_run_can_have_are_refused(act) -> None:
    """The message proposes an archive."""
    references = [{"$file": {"id": sha256(bytes([n])).hexdigest(), "name": "x"}} for n in range(141)]
    with pytest.raises(ValidationError, match="at most 140 files; pack more into an archive"):
        act(SEES, {"files": references})


def _name(info: RequestInfo) -> str:
    path = info.url.partition("?")[0].rstrip("/").split("/")
    return f"{info.method} {'files' if path[-2] == 'files' else path[-1]}"


def _closed(path: Path) -> Any:
    with path.open("wb") as file:
        return file


def _plugin(source: str) -> dict[str, Any]:
    return {
        "config": {"code": "tried", "actions": {"act": "plugin.main:act"}},
        "modules": {"plugin.main": textwrap.dedent(source)},
    }
