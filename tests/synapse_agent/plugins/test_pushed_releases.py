"""Releases that callers upload, over HTTP."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

import httpx
import pytest

from synapse_agent import EmbeddedAgent

ClientOf = Callable[[EmbeddedAgent], httpx.Client]
CONFIG = "code: pushed\nversion: 1.0.0\nactions: {go: 'main:go'}\n"
FILES = {"config.yaml": CONFIG, "main.py": "def go(): return 'pushed'\n"}


@pytest.fixture
def http(tmp_path: Path, client_of: ClientOf) -> Iterator[httpx.Client]:
    """A client of an agent that accepts releases, and has no other source."""
    with EmbeddedAgent(data_dir=tmp_path / "data", allow_push=True, max_plugin_size=2**20) as agent:
        yield client_of(agent)


def packed(files: dict[str, str | bytes]) -> bytes:
    content = io.BytesIO()
    with ZipFile(content, "w", 8) as archive:
        for name, text in files.items():
            archive.writestr(ZipInfo(name), text)
    return content.getvalue()


def upload(http: httpx.Client, content: bytes) -> str:
    file_id = sha256(content).hexdigest()
    headers = {"Content-Type": "application/octet-stream"}
    http.put(f"/files/{file_id}/content/", content=content, headers=headers).raise_for_status()
    return file_id


def push(http: httpx.Client, content: bytes, **more: Any) -> httpx.Response:
    archive = {"$file": {"id": upload(http, content), "name": "pushed.zip"}}
    return http.post("/plugin_releases/upload/", json={"archive": archive, **more})


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["detail"]["error_type"]


def test_an_uploaded_archive_is_a_release_like_any_other(http: httpx.Client) -> None:
    """The answer is 201 with its record; it runs and can be deleted. Uploading the same files again is 200."""
    made = push(http, packed(FILES))
    assert made.status_code == 201
    record = made.json()
    assert (record["plugin"], record["version"], record["actions"][0]["name"]) == ("pushed", "1.0.0", "go")
    assert http.get("/plugin_releases/pushed@1.0.0").json() == record
    assert http.post("/plugin_releases/pushed@1.0.0/run/", json={"action": "go"}).json() == "pushed"
    again = push(http, packed({f"folder/{name}": text for name, text in FILES.items()}))
    assert (again.status_code, again.json()["id"]) == (200, record["id"])
    assert http.post("/plugin_releases/", json={"plugin": "pushed", "version": "1.0.0"}).json()["id"] == record["id"]
    assert http.delete("/plugin_releases/pushed@1.0.0").status_code == 204
    assert push(http, packed(FILES)).status_code == 201


def test_other_files_need_another_version_or_replace(http: httpx.Client, tmp_path: Path) -> None:
    """The answer is 409 with what to do; a replaced release keeps its ID, and has only the new files."""
    first = push(http, packed(FILES)).json()
    new = packed({**FILES, "main.py": "def go(): return 'new'\n"})
    refused = push(http, new)
    assert error_of(refused) == (409, "release_conflict")
    assert refused.json()["detail"]["message"] == (
        "'pushed@1.0.0' is cached with other files. Raise the version in its config.yaml, or replace it."
    )
    assert http.post("/plugin_releases/pushed@1.0.0/run/", json={"action": "go"}).json() == "pushed"
    replaced = push(http, new, replace=True)
    assert (replaced.status_code, replaced.json()["id"]) == (201, first["id"])
    assert replaced.json()["digest"] != first["digest"]
    assert http.post("/plugin_releases/pushed@1.0.0/run/", json={"action": "go"}).json() == "new"
    assert push(http, new, replace=True).status_code == 200
    assert len(list((tmp_path / "data" / "releases").iterdir())) == 1
    assert list((tmp_path / "data" / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("files", "kind", "said"),
    [
        ({"main.py": ""}, "invalid_archive", "The archive 'pushed.zip': it contains no config.yaml"),
        ({"config.yaml": "code: ["}, "invalid_plugin", "config.yaml is not YAML"),
        ({**FILES, "requirements.txt": "six\n-r /etc/all.txt"}, "invalid_requirement", "requirements.txt, line 2"),
        ({**FILES, "../out.py": ""}, "invalid_archive", "whose name is not allowed: '../out.py'"),
        ({**FILES, "large": bytes(2**21)}, "invalid_archive", "it contains more than 1 MiB (--max-plugin-size)"),
    ],
)
def test_the_rules_are_those_of_any_archive(
    http: httpx.Client, tmp_path: Path, files: dict[str, Any], kind: str, said: str
) -> None:
    """The answer is 422 with the fault, and nothing is left of the archive."""
    refused = push(http, packed(files))
    assert error_of(refused) == (422, kind)
    assert said in refused.json()["detail"]["message"]
    assert http.get("/plugin_releases/").json()["count"] == 0
    assert [list((tmp_path / "data" / name).iterdir()) for name in ("releases", "tmp")] == [[], []]


def test_what_is_not_an_uploaded_archive_is_refused(http: httpx.Client) -> None:
    """This covers other files, missing ones, and invalid references."""
    assert error_of(push(http, b"no archive")) == (422, "invalid_archive")
    missing = {"$file": {"id": "0" * 64, "name": "pushed.zip"}}
    answer = http.post("/plugin_releases/upload/", json={"archive": missing})
    assert error_of(answer) == (422, "file_not_found")
    for archive in ("pushed.zip", {}, {"$file": "0" * 64}, {"$file": {"id": "0"}}, {"$file": {"id": "0" * 64}}):
        answer = http.post("/plugin_releases/upload/", json={"archive": archive})
        assert (answer.status_code, answer.json()["detail"][0]["loc"][:2]) == (422, ["body", "archive"])


def test_an_agent_accepts_none_unless_configured(client_of: ClientOf) -> None:
    """The answer is 403 with the option."""
    with EmbeddedAgent() as agent:
        refused = push(client_of(agent), packed(FILES))
    assert error_of(refused) == (403, "push_not_allowed")
    assert "--allow-push" in refused.json()["detail"]["message"]


def test_many_at_once_are_one_release(http: httpx.Client) -> None:
    """If their files differ, one release is cached, and each of the others is refused."""
    archives = [packed({**FILES, "main.py": f"def go(): return {number % 2}\n"}) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda content: push(http, content), archives))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * 3 + [201] + [409] * 4
    assert http.get("/plugin_releases/").json()["count"] == 1


def test_a_pushed_release_stays_through_a_restart(tmp_path: Path, client_of: ClientOf) -> None:
    """This holds after the uploaded archive has expired; the agent reports damaged files."""
    with EmbeddedAgent(data_dir=tmp_path / "data", allow_push=True) as agent:
        assert push(client_of(agent), packed(FILES)).status_code == 201
    shutil.rmtree(tmp_path / "data" / "files")
    with EmbeddedAgent(data_dir=tmp_path / "data") as agent:
        http = client_of(agent)
        assert http.post("/plugin_releases/pushed@1.0.0/run/", json={"action": "go"}).json() == "pushed"
        (release,) = (tmp_path / "data" / "releases").iterdir()
        (release / "main.py").unlink()
        assert error_of(http.post("/plugin_releases/1/run/", json={"action": "go"})) == (409, "release_damaged")
