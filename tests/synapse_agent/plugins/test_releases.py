"""Releases over HTTP: fetched, listed, found, deleted."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import pytest

from synapse_agent import EmbeddedAgent
from synapse_agent.plugins.releases import Releases
from synapse_agent.plugins.requirements import STRICT
from synapse_agent.plugins.sources import DirectorySource
from synapse_agent.storage.data_folder import DataFolder
from synapse_agent.storage.database import Database
from synapse_agent.storage.trees import TreeLimits, tree_digest
from synapse_agent.util.changes import Changes

ClientOf = Callable[[EmbeddedAgent], httpx.Client]


@pytest.fixture
def shelf(tmp_path: Path, write_plugin: Any) -> Path:
    """A plugins folder of the test's own, with `small` 1.0.0 in it."""
    write_plugin(tmp_path / "shelf" / "small")
    return tmp_path / "shelf"


@pytest.fixture
def own(shelf: Path, tmp_path: Path, client_of: ClientOf) -> Iterator[httpx.Client]:
    """A client of an agent of the test's own, which fetches from `shelf`."""
    with EmbeddedAgent(shelf, data_dir=tmp_path / "data") as agent:
        yield client_of(agent)


def create(http: httpx.Client, plugin: str, version: str) -> httpx.Response:
    return http.post("/plugin_releases/", json={"plugin": plugin, "version": version})


def folders(tmp_path: Path) -> list[Path]:
    data = tmp_path / "data"
    return [*(data / "releases").iterdir(), *(data / "tmp").iterdir()]


def test_a_release_is_created_once_and_answered_again_as_it_was_cached(own: httpx.Client, shelf: Path) -> None:
    """201 the first time, 200 the second with the same record, whatever the source holds by then."""
    first = create(own, "small", "1.0.0")
    (shelf / "small" / "main.py").write_text("def go(): return 'changed'")
    second = create(own, "small", "1.0.0")
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert own.post("/plugin_releases/1/run/", json={"action": "go"}).json() == "small@1.0.0"


def test_a_release_says_what_its_config_says(http: httpx.Client, tools: str) -> None:
    """The record holds identity, texts for people, actions with their methods, a digest and a time with an offset."""
    release = http.get(tools).json()
    assert (release["plugin"], release["version"]) == ("tools", "1.0.0")
    assert (release["name"], release["category"]) == ("Tools", "custom")
    echo = next(action for action in release["actions"] if action["name"] == "echo")
    echo.pop("params_schema", None)  # there after a run of the release
    assert echo == {"name": "echo", "method": "local", "description": "Gives back what it gets."}
    assert release["digest"].startswith("sha256:")
    assert release["created_at"].endswith("+00:00")


def test_ten_callers_at_once_get_one_release(own: httpx.Client, tmp_path: Path) -> None:
    """One of ten is answered 201, the others 200, and one folder is there."""
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: create(own, "small", "1.0.0"), range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(folders(tmp_path)) == 1


def test_ten_callers_at_once_all_hear_that_there_is_no_such_release(own: httpx.Client) -> None:
    """A failed fetch is told to each of those who waited for it."""
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: create(own, "none", "1.0.0"), range(10)))
    assert {answer.status_code for answer in answers} == {404}


@pytest.mark.parametrize("lookup", ["1", "small@1.0.0", "small%401.0.0", "%73mall@1.0.0", "1/", "small%401.0.0/"])
def test_a_release_is_found_by_every_form_of_its_name(own: httpx.Client, lookup: str) -> None:
    """By ID and by `code@version`, percent-encoded or not, with and without a slash at the end, no redirects."""
    create(own, "small", "1.0.0")
    answer = own.get(f"/plugin_releases/{lookup}")
    assert (answer.status_code, answer.json()["id"]) == (200, 1)


@pytest.mark.parametrize(
    ("code", "version"),
    [("a/b", "1.0.0-rc.1+build.5"), ("at@work", "1"), ("50%", "1 2"), ("한글", "β"), ("run_debug", "1")],
)
def test_a_release_of_an_odd_name_is_found(
    own: httpx.Client, shelf: Path, write_plugin: Any, code: str, version: str
) -> None:
    """Slashes, `@`, percent signs, blanks and other alphabets travel percent-encoded in one segment."""
    write_plugin(shelf / "odd", code=code, version=version)
    assert create(own, code, version).status_code == 201
    encoded = (
        httpx.URL("http://x/", params={"q": f"{code}@{version}"}).query.decode().removeprefix("q=").replace("+", "%20")
    )
    answer = own.get(f"/plugin_releases/{encoded}")
    assert (answer.json()["plugin"], answer.json()["version"]) == (code, version)


@pytest.mark.parametrize(
    "lookup", ["2", "0", "01", "9" * 30, "small", "small@2", "@", "small@", "%40", "run_debug", "-1", "१"]
)
def test_an_unknown_release_is_not_found(own: httpx.Client, lookup: str) -> None:
    """Whatever names no cached release is 404 `release_not_found`, for every operation on it."""
    create(own, "small", "1.0.0")
    answers = [
        own.get(f"/plugin_releases/{lookup}"),
        own.delete(f"/plugin_releases/{lookup}"),
        own.post(f"/plugin_releases/{lookup}/run/", json={"action": "go"}),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert {answer.json()["detail"]["error_type"] for answer in answers} == {"release_not_found"}


@pytest.mark.parametrize("lookup", ["%FF", "%00", "a%0Ab@1", "%2E", "%2e%2E", "%7F"])
def test_a_lookup_that_the_contract_does_not_allow_is_unprocessable(http: httpx.Client, lookup: str) -> None:
    """Not UTF-8, control characters, `.` and `..`: 422 with the place of the fault."""
    answer = http.get(f"/plugin_releases/{lookup}")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["path", "lookup"]


def test_a_version_is_read_as_text(own: httpx.Client, shelf: Path, write_plugin: Any) -> None:
    """`version: 1.10` without quotes is the version 1.10."""
    write_plugin(shelf / "ten", code="ten", version="1.10")
    assert create(own, "ten", "1.1").status_code == 404
    assert create(own, "ten", "1.10").json()["version"] == "1.10"


def test_a_plugin_that_is_added_while_the_agent_runs_is_found(
    own: httpx.Client, shelf: Path, write_plugin: Any
) -> None:
    """The plugins folder is looked at for every fetch."""
    assert create(own, "late", "1.0.0").status_code == 404
    write_plugin(shelf / "late", code="late")
    assert create(own, "late", "1.0.0").status_code == 201


def test_an_unknown_version_is_answered_with_those_there_are(own: httpx.Client) -> None:
    """A 404 names the versions of that plugin."""
    detail = create(own, "small", "9.9").json()["detail"]
    assert detail["error_type"] == "release_not_found"
    assert "1.0.0" in detail["message"]


def test_two_plugins_of_one_name_are_ambiguous(own: httpx.Client, shelf: Path, write_plugin: Any) -> None:
    """422 `ambiguous_release` names both; others are not touched by it."""
    write_plugin(shelf / "twin_a", code="twin")
    write_plugin(shelf / "twin_b", code="twin")
    answer = create(own, "twin", "1.0.0")
    assert answer.status_code == 422
    assert answer.json()["detail"]["error_type"] == "ambiguous_release"
    assert all(name in answer.json()["detail"]["message"] for name in ("twin_a", "twin_b"))
    assert create(own, "small", "1.0.0").status_code == 201


def test_a_broken_plugin_says_what_is_wrong_and_hides_no_other(own: httpx.Client, shelf: Path, tmp_path: Path) -> None:
    """Asked for by its folder's name it is 422 with the fault; the good ones beside it are served; nothing is left."""
    (shelf / "broken").mkdir()
    (shelf / "broken" / "config.yaml").write_text("actions: [1, 2]\ncode: broken\n")
    (shelf / "empty").mkdir()
    (shelf / "tagged").mkdir()
    (shelf / "tagged" / "config.yaml").write_text("code: tagged\nfine: !!bool perhaps\n")
    (shelf / "odd.zip").write_bytes(b"no archive")
    answer = create(own, "broken", "1.0.0")
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (422, "invalid_plugin")
    assert "actions" in answer.json()["detail"]["message"]
    assert "config.yaml" in create(own, "empty", "1.0.0").json()["detail"]["message"]
    assert "is not YAML" in create(own, "tagged", "1.0.0").json()["detail"]["message"]
    assert create(own, "odd", "1.0.0").json()["detail"]["error_type"] == "invalid_archive"
    assert folders(tmp_path) == []
    assert create(own, "small", "1.0.0").status_code == 201


@pytest.mark.parametrize("prefix", ["", "small-1.0.0/"])
def test_an_archive_is_unpacked(own: httpx.Client, shelf: Path, prefix: str) -> None:
    """A zip holds the plugin at its top or one folder down."""
    with ZipFile(shelf / "any.zip", "w") as archive:
        archive.writestr(f"{prefix}config.yaml", "code: zipped\nversion: 2\nactions: {go: 'main:go'}\n")
        archive.writestr(f"{prefix}main.py", "def go(): return 'from a zip'")
    assert create(own, "zipped", "2").status_code == 201
    assert own.post("/plugin_releases/zipped@2/run/", json={"action": "go"}).json() == "from a zip"


def test_releases_are_listed_in_pages(own: httpx.Client, shelf: Path, write_plugin: Any) -> None:
    """Following `next` gives each once, oldest first; `previous` leads back; `count` counts all."""
    for number in range(5):
        write_plugin(shelf / f"p{number}", code="many", version=str(number))
        create(own, "many", str(number))
    seen: list[str] = []
    page: dict[str, Any] = own.get("/plugin_releases/", params={"page_size": 2, "plugin": "many"}).json()
    while True:
        seen += [release["version"] for release in page["results"]]
        assert page["count"] == 5
        if page["next"] is None:
            break
        page = own.get(page["next"]).json()
    assert seen == ["0", "1", "2", "3", "4"]
    assert own.get(page["previous"]).json()["results"][0]["version"] == "2"


def test_filters_are_any_field_of_a_record(own: httpx.Client) -> None:
    """By any text or number of a record, several together; one that is none is 422."""
    create(own, "small", "1.0.0")
    found = own.get("/plugin_releases/", params={"id": 1, "plugin": "small", "name": "small"}).json()
    none = own.get("/plugin_releases/", params={"id": 1, "category": "custom"}).json()
    assert (found["count"], none["count"], none["results"]) == (1, 0, [])
    answer = own.get("/plugin_releases/", params={"actions": "x", "colour": "red"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "actions"]


@pytest.mark.parametrize(
    "query",
    ["page=0", "page=x", "page=", "page_size=0", "page_size=1001", "page=1.5", "page=1&page=2", "plugin=a&plugin=b"],
)
def test_a_query_that_does_not_fit_is_unprocessable(http: httpx.Client, query: str) -> None:
    """422 names the parameter."""
    answer = http.get(f"/plugin_releases/?{query}")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", query.partition("=")[0]]


@pytest.mark.parametrize("page", ["2", "9" * 40])
def test_a_page_that_is_not_there_is_not_found(own: httpx.Client, page: str) -> None:
    """The first page is always there, the one after the last never."""
    assert own.get("/plugin_releases/", params={"page": 1}).json()["results"] == []
    answer = own.get("/plugin_releases/", params={"page": page})
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (404, "page_not_found")


def test_a_deleted_release_is_gone_and_its_id_never_used_again(own: httpx.Client, tmp_path: Path) -> None:
    """204, then 404; the folder is gone; the next release has another ID."""
    create(own, "small", "1.0.0")
    assert own.delete("/plugin_releases/1").status_code == 204
    assert own.delete("/plugin_releases/1").status_code == 404
    assert folders(tmp_path) == []
    assert create(own, "small", "1.0.0").json()["id"] == 2


def test_a_deleted_release_is_found_under_neither_of_its_names(own: httpx.Client) -> None:
    """The agent remembers what it has found, and forgets it with the release."""
    create(own, "small", "1.0.0")
    for lookup in ("1", "small@1.0.0", "1", "small%401.0.0"):
        assert own.get(f"/plugin_releases/{lookup}").json()["id"] == 1
    assert own.delete("/plugin_releases/small@1.0.0").status_code == 204
    for lookup in ("1", "small@1.0.0", "small%401.0.0"):
        assert own.get(f"/plugin_releases/{lookup}").status_code == 404
    create(own, "small", "1.0.0")
    assert own.get("/plugin_releases/small@1.0.0").json()["id"] == 2
    assert own.get("/plugin_releases/1").status_code == 404


def test_a_release_that_runs_can_be_deleted(plugins: Path, tmp_path: Path, client_of: ClientOf) -> None:
    """The release is gone at once, its action ends well, and only then its folder goes."""
    with (
        EmbeddedAgent(plugins, data_dir=tmp_path / "data", allow_write=(tmp_path,)) as agent,
        ThreadPoolExecutor(1) as pool,
    ):
        http = client_of(agent)
        create(http, "tools", "1.0.0")
        body = {"action": "wait", "params": {"path": str(tmp_path / "go")}}
        answer = pool.submit(http.post, "/plugin_releases/1/run/", json=body)
        while not (tmp_path / "go.started").exists():
            assert not answer.done(), answer.result().text
        assert http.delete("/plugin_releases/1").status_code == 204
        assert http.get("/plugin_releases/1").status_code == 404
        assert len(folders(tmp_path)) == 1
        (tmp_path / "go").touch()
        assert answer.result().json() == "waited"
        assert folders(tmp_path) == []


def test_a_release_that_was_deleted_can_be_created_and_run_again(plugins: Path, client_of: ClientOf) -> None:
    """The second folder is as good as the first, for processes that were kept ready, too."""
    with EmbeddedAgent(plugins) as agent:
        http = client_of(agent)
        for _ in range(2):
            create(http, "tools", "1.0.0")
            answer = http.post("/plugin_releases/tools@1.0.0/run/", json={"action": "note"})
            assert answer.json() == "as it was cached"
            http.delete("/plugin_releases/tools@1.0.0")


def test_a_release_without_its_folder_is_forgotten_at_the_next_start(
    shelf: Path, tmp_path: Path, client_of: ClientOf
) -> None:
    """And a folder without its release is removed: what a killed agent left half done."""
    with EmbeddedAgent(shelf, data_dir=tmp_path / "data") as agent:
        create(client_of(agent), "small", "1.0.0")
    (kept,) = (tmp_path / "data" / "releases").iterdir()
    kept.rename(kept.with_name("0" * 64))
    with EmbeddedAgent(shelf, data_dir=tmp_path / "data") as agent:
        http = client_of(agent)
        assert http.get("/plugin_releases/1").status_code == 404
        assert folders(tmp_path) == []
        assert create(http, "small", "1.0.0").json()["id"] == 2


class RemovedOnceSource:
    """A source whose first fetch somebody removes, with the folder around it, as machines do that tidy up at night."""

    def __init__(self, shelf: Path) -> None:
        self._source = DirectorySource(shelf, limits=TreeLimits())
        self.fetches = 0

    async def fetch(self, *, plugin: str, version: str, into: Path) -> None:
        await self._source.fetch(plugin=plugin, version=version, into=into)
        self.fetches += 1
        if self.fetches == 1:
            shutil.rmtree(into.parent)


@pytest.mark.anyio
async def test_a_fetch_that_somebody_removes_is_made_again(shelf: Path, tmp_path: Path) -> None:
    """Nothing of that is the plugin's fault, or the caller's."""

    async def removed(_: Path) -> None:
        """Nothing is kept of it."""

    source = RemovedOnceSource(shelf)
    folder = DataFolder(tmp_path / "data")
    with closing(folder), closing(Database(folder.database)) as database:
        releases = Releases(
            folder=folder,
            database=database,
            source=source,
            rules=STRICT,
            schemas=lambda _: {},
            on_removed=removed,
            changes=Changes(),
        )
        release, is_new = await releases.create("small", "1.0.0")
        assert (release.plugin, is_new, source.fetches) == ("small", True, 2)
        assert (releases.path(release.digest) / "config.yaml").exists()


def test_a_fetch_that_somebody_removes_at_the_last_moment_is_made_again(
    own: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it has been examined, and only has to be put in its place: a new release, and one that is restored."""
    removed: list[Path] = []

    def digest_of(folder: Path) -> str:
        digest = tree_digest(folder)
        if folder.parent not in removed:
            removed.append(folder.parent)
            shutil.rmtree(folder.parent)
        return digest

    monkeypatch.setattr("synapse_agent.plugins.releases.tree_digest", digest_of)
    for status in (201, 200):
        removed.clear()
        answer = create(own, "small", "1.0.0")
        assert (answer.status_code, removed) == (status, [tmp_path / "data" / "tmp"]), answer.text
        (kept,) = (tmp_path / "data" / "releases").iterdir()
        assert (kept / "config.yaml").exists()
        shutil.rmtree(kept)
