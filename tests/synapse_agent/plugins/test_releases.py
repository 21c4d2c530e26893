"""Releases over HTTP: fetched, listed, found, deleted."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import pytest
from waiting import until

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
    """The test's own plugins folder, with `small` 1.0.0."""
    write_plugin(tmp_path / "shelf" / "small")
    return tmp_path / "shelf"


@pytest.fixture
def own(shelf: Path, tmp_path: Path, client_of: ClientOf) -> Iterator[httpx.Client]:
    """A client of the test's own agent, which fetches from `shelf`."""
    with EmbeddedAgent(shelf, data_dir=tmp_path / "data") as agent:
        yield client_of(agent)


def create(http: httpx.Client, plugin: str, version: str) -> httpx.Response:
    return http.post("/plugin_releases/", json={"plugin": plugin, "version": version})


def folders(tmp_path: Path) -> list[Path]:
    data = tmp_path / "data"
    return [*(data / "releases").iterdir(), *(data / "tmp").iterdir()]


def test_a_release_is_created_once_and_answered_again_as_it_was_cached(own: httpx.Client, shelf: Path) -> None:
    """The answers are 201, then 200 with the same record; a changed source is reported."""
    first = create(own, "small", "1.0.0")
    (shelf / "small" / "main.py").write_text("def go(): return 'changed'")
    second = create(own, "small", "1.0.0")
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == {**first.json(), "source_changed": True}
    assert own.get("/plugin_releases/1").json() == first.json()
    assert own.post("/plugin_releases/1/run/", json={"action": "go"}).json() == "small@1.0.0"


def test_a_release_has_the_data_of_its_config(http: httpx.Client, tools: str) -> None:
    """The record has identity, descriptions, actions with their methods, a digest, and a time with an offset."""
    release = http.get(tools).json()
    assert (release["plugin"], release["version"]) == ("tools", "1.0.0")
    assert (release["name"], release["category"]) == ("Tools", "custom")
    echo = next(action for action in release["actions"] if action["name"] == "echo")
    echo.pop("params_schema", None)  # present after a run of the release
    assert echo == {"name": "echo", "method": "local", "description": "Gives back what it gets."}
    assert release["digest"].startswith("sha256:")
    assert release["created_at"].endswith("+00:00")


def test_ten_callers_at_once_get_one_release(own: httpx.Client, tmp_path: Path) -> None:
    """One of them gets 201, the others 200, and one folder exists."""
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: create(own, "small", "1.0.0"), range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(folders(tmp_path)) == 1


def test_ten_callers_at_once_get_the_error_of_a_missing_release(own: httpx.Client) -> None:
    """Each caller that waited gets the error of a failed fetch."""
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: create(own, "none", "1.0.0"), range(10)))
    assert {answer.status_code for answer in answers} == {404}


@pytest.mark.parametrize("lookup", ["1", "small@1.0.0", "small%401.0.0", "%73mall@1.0.0", "1/", "small%401.0.0/"])
def test_a_release_is_found_by_every_form_of_its_name(own: httpx.Client, lookup: str) -> None:
    """IDs and `code@version` work, percent-encoded or not, with and without a final slash, and without redirects."""
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
    """Slashes, `@`, percent signs, blanks and other alphabets are percent-encoded in one segment."""
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
    """The answer to every operation is 404 `release_not_found`."""
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
    """Invalid UTF-8, control characters, `.` and `..` are 422, with the parameter."""
    answer = http.get(f"/plugin_releases/{lookup}")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["path", "lookup"]


def test_a_plugin_that_is_added_while_the_agent_runs_is_found(
    own: httpx.Client, shelf: Path, write_plugin: Any
) -> None:
    """The agent reads the plugins folder at every fetch."""
    assert create(own, "late", "1.0.0").status_code == 404
    write_plugin(shelf / "late", code="late")
    assert create(own, "late", "1.0.0").status_code == 201


def test_two_plugins_of_one_name_are_ambiguous(own: httpx.Client, shelf: Path, write_plugin: Any) -> None:
    """The answer is 422 `ambiguous_release` with both; other plugins are not affected."""
    write_plugin(shelf / "twin_a", code="twin")
    write_plugin(shelf / "twin_b", code="twin")
    answer = create(own, "twin", "1.0.0")
    assert answer.status_code == 422
    assert answer.json()["detail"]["error_type"] == "ambiguous_release"
    assert all(name in answer.json()["detail"]["message"] for name in ("twin_a", "twin_b"))
    assert create(own, "small", "1.0.0").status_code == 201


def test_a_broken_plugin_is_reported_and_hides_no_other(own: httpx.Client, shelf: Path, tmp_path: Path) -> None:
    """A request for its folder's name is 422 with the fault; valid plugins work; nothing is left."""
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
    """The plugin may be at the archive's root or one folder down."""
    with ZipFile(shelf / "any.zip", "w") as archive:
        archive.writestr(f"{prefix}config.yaml", "code: zipped\nversion: 2\nactions: {go: 'main:go'}\n")
        archive.writestr(f"{prefix}main.py", "def go(): return 'from a zip'")
    assert create(own, "zipped", "2").status_code == 201
    assert own.post("/plugin_releases/zipped@2/run/", json={"action": "go"}).json() == "from a zip"


def test_releases_are_listed_in_pages(own: httpx.Client, shelf: Path, write_plugin: Any) -> None:
    """Following `next` returns each once, oldest first; `previous` leads back; `count` is the total."""
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
    """Filters for texts and numbers can be combined; an unknown filter is 422."""
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
    """The answer is 422 with the parameter."""
    answer = http.get(f"/plugin_releases/?{query}")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", query.partition("=")[0]]


@pytest.mark.parametrize("page", ["2", "9" * 40])
def test_a_page_that_is_not_there_is_not_found(own: httpx.Client, page: str) -> None:
    """The first page always exists, the one after the last never."""
    assert own.get("/plugin_releases/", params={"page": 1}).json()["results"] == []
    answer = own.get("/plugin_releases/", params={"page": page})
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (404, "page_not_found")


def test_a_deleted_release_is_gone_and_its_id_never_used_again(own: httpx.Client, tmp_path: Path) -> None:
    """The answers are 204, then 404; the folder is removed; the next release gets another ID."""
    create(own, "small", "1.0.0")
    assert own.delete("/plugin_releases/1").status_code == 204
    assert own.delete("/plugin_releases/1").status_code == 404
    assert folders(tmp_path) == []
    assert create(own, "small", "1.0.0").json()["id"] == 2


def test_a_deleted_release_is_found_under_neither_of_its_names(own: httpx.Client) -> None:
    """The agent caches lookups, and removes them with the release."""
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
    """The release is removed at once, its folder when the action has ended normally."""
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
    """Processes that were prepared for the first folder are not used for the second."""
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
    """A folder without its release is removed, too; a killed agent may leave either."""
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
    """A source whose first fetch is removed with its folder, as by a cleaner of temporary files."""

    def __init__(self, shelf: Path) -> None:
        self._source = DirectorySource(shelf, limits=TreeLimits())
        self.fetches = 0

    async def fetch(self, *, plugin: str, version: str, into: Path) -> None:
        await self._source.fetch(plugin=plugin, version=version, into=into)
        self.fetches += 1
        if self.fetches == 1:
            shutil.rmtree(into.parent)

    async def state(self, *, plugin: str, version: str) -> str | None:
        return await self._source.state(plugin=plugin, version=version)

    async def versions(self, plugin: str) -> list[str]:
        return await self._source.versions(plugin)


@pytest.mark.anyio
async def test_a_fetch_that_somebody_removes_is_made_again(shelf: Path, tmp_path: Path) -> None:
    """Neither the plugin nor the caller caused this, so the agent does not report it."""

    async def removed(_: Path) -> None:
        """Do nothing."""

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
        release, is_new, _ = await releases.create("small", "1.0.0")
        assert (release.plugin, is_new, source.fetches) == ("small", True, 2)
        assert (releases.path(release.digest) / "config.yaml").exists()


def test_a_fetch_that_somebody_removes_at_the_last_moment_is_made_again(
    own: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is removed between the checks and the final rename, of a new release and of a restored one."""
    removed: list[Path] = []

    def digest_of(folder: Path) -> str:
        digest = tree_digest(folder)
        if folder.parent not in removed:
            removed.append(folder.parent)
            shutil.rmtree(folder.parent)
        return digest

    monkeypatch.setattr("synapse_agent.plugins.fetched.tree_digest", digest_of)
    for status in (201, 200):
        removed.clear()
        answer = create(own, "small", "1.0.0")
        assert (answer.status_code, removed) == (status, [tmp_path / "data" / "tmp"]), answer.text
        (kept,) = (tmp_path / "data" / "releases").iterdir()
        assert (kept / "config.yaml").exists()
        shutil.rmtree(kept)


def refresh(http: httpx.Client, plugin: str = "small", version: str = "1.0.0") -> httpx.Response:
    return http.post("/plugin_releases/", json={"plugin": plugin, "version": version, "refresh": True})


def test_a_refreshed_release_has_the_new_files_and_its_old_id(own: httpx.Client, shelf: Path, tmp_path: Path) -> None:
    """The answer is 201 with new files, and 200 with the same ones; the old files are removed from the disk."""
    first = create(own, "small", "1.0.0").json()
    assert refresh(own).status_code == 200
    (shelf / "small" / "main.py").write_text("def go(): return 'new'\ndef stay(): return 'stayed'\n")
    config = "code: small\nversion: 1.0.0\nname: New\nactions: {go: 'main:go', stay: 'main:stay'}\n"
    (shelf / "small" / "config.yaml").write_text(config)
    again = refresh(own)
    assert again.status_code == 201
    record = again.json()
    assert (record["id"], record["name"]) == (first["id"], "New")
    assert [action["name"] for action in record["actions"]] == ["go", "stay"]
    assert record["digest"] != first["digest"]
    assert "source_changed" not in record
    lookups = ("1", "small@1.0.0")
    assert [own.get(f"/plugin_releases/{lookup}").json() for lookup in lookups] == [record, record]
    for lookup in lookups:  # the first run adds the actions' params to the record
        assert own.post(f"/plugin_releases/{lookup}/run/", json={"action": "stay"}).json() == "stayed"
    assert [path.name for path in folders(tmp_path)] == [record["digest"].removeprefix("sha256:")]
    assert "source_changed" not in create(own, "small", "1.0.0").json()
    assert own.get("/plugin_releases/").json()["count"] == 1


def test_a_run_that_has_begun_keeps_the_old_files(shelf: Path, tmp_path: Path, client_of: ClientOf) -> None:
    """So does a run whose release is deleted; the next run has the new files."""
    source = "import time\nfrom pathlib import Path\ndef go(path):\n    Path(path, 'begun').touch()\n"
    source += "    while not Path(path, 'go').exists():\n        time.sleep(0.01)\n"
    (shelf / "small" / "main.py").write_text(source + "    return Path('note').read_text()\n")
    (shelf / "small" / "note").write_text("old")
    with EmbeddedAgent(shelf, allow_write=(tmp_path,)) as agent, ThreadPoolExecutor(1) as pool:
        http = client_of(agent)
        create(http, "small", "1.0.0")
        body = {"action": "go", "params": {"path": str(tmp_path)}}
        running = pool.submit(http.post, "/plugin_releases/1/run/", json=body)
        until((tmp_path / "begun").exists)
        (shelf / "small" / "note").write_text("new")
        assert refresh(http).status_code == 201
        (tmp_path / "go").touch()
        assert running.result().json() == "old"
        assert http.post("/plugin_releases/1/run/", json=body).json() == "new"


def test_a_source_that_cannot_be_taken_leaves_the_release_as_it_was(own: httpx.Client, shelf: Path) -> None:
    """`refresh` raises an error; a plain create is not affected."""
    before = create(own, "small", "1.0.0").json()
    (shelf / "small" / "config.yaml").write_text("code: [")
    assert (refresh(own).status_code, create(own, "small", "1.0.0").json()) == (422, before)
    shutil.rmtree(shelf / "small")
    assert (refresh(own).status_code, create(own, "small", "1.0.0").json()) == (404, before)
    assert own.post("/plugin_releases/1/run/", json={"action": "go"}).json() == "small@1.0.0"


@pytest.mark.parametrize("is_archive", [False, True], ids=["folder", "archive"])
def test_only_files_that_are_part_of_a_plugin_change_it(
    own: httpx.Client, shelf: Path, write_plugin: Any, *, is_archive: bool
) -> None:
    """Times, caches and version control don't, nor does a file that is rewritten with the same content."""
    folder = write_plugin(shelf.parent / "loose") if is_archive else shelf / "small"

    def publish() -> None:
        if is_archive:
            shutil.rmtree(shelf / "small", ignore_errors=True)
            with ZipFile(shelf / "small.zip", "w") as archive:
                for path in folder.rglob("*"):
                    archive.write(path, path.relative_to(folder))

    publish()
    assert create(own, "small", "1.0.0").status_code == 201
    for name in (".git/HEAD", "__pycache__/main.cpython-311.pyc", ".venv/pyvenv.cfg", "env/pyvenv.cfg"):
        (folder / name).parent.mkdir(exist_ok=True)
        # in archives, no folder counts as an environment because of its content
        if not (is_archive and name.startswith("env/")):
            (folder / name).touch()
    (folder / "main.py").touch()
    if is_archive:
        (folder / "env").rmdir()
    publish()
    assert "source_changed" not in create(own, "small", "1.0.0").json()
    (folder / "data.txt").touch()
    publish()
    assert create(own, "small", "1.0.0").json()["source_changed"] is True
    (folder / "data.txt").unlink()
    publish()
    assert "source_changed" not in create(own, "small", "1.0.0").json()


def test_a_refresh_heals_files_that_were_changed_in_the_cache(own: httpx.Client, tmp_path: Path) -> None:
    """This works although its source has not changed."""
    digest = create(own, "small", "1.0.0").json()["digest"].removeprefix("sha256:")
    (tmp_path / "data" / "releases" / digest / "main.py").unlink()
    assert refresh(own).status_code == 200
    assert own.post("/plugin_releases/1/run/", json={"action": "go"}).json() == "small@1.0.0"


def test_many_refreshes_at_once_end_with_the_newest_files(own: httpx.Client, shelf: Path, tmp_path: Path) -> None:
    """Each refresh fetches after its request; one folder stays."""
    create(own, "small", "1.0.0")
    (shelf / "small" / "main.py").write_text("def go(): return 'new'\n")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: refresh(own), range(8)))
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert {answer.json()["id"] for answer in answers} == {1}
    assert own.post("/plugin_releases/1/run/", json={"action": "go"}).json() == "new"
    assert len(folders(tmp_path)) == 1


def test_a_create_without_a_version_takes_the_only_one(own: httpx.Client, shelf: Path, write_plugin: Any) -> None:
    """It takes the only version of the source, or else of the cache; if there are several, the message lists them."""
    assert own.post("/plugin_releases/", json={"plugin": "small"}).json()["version"] == "1.0.0"
    write_plugin(shelf / "newer", version="1.10")
    several = own.post("/plugin_releases/", json={"plugin": "small"})
    assert several.status_code == 422
    detail = several.json()["detail"]
    assert (detail["error_type"], detail["versions"]) == ("ambiguous_release", ["1.0.0", "1.10"])
    assert detail["message"] == "'small' has several versions. Pass one of: 1.0.0, 1.10."
    shutil.rmtree(shelf / "small")
    assert own.post("/plugin_releases/", json={"plugin": "small"}).json()["version"] == "1.10"
    shutil.rmtree(shelf / "newer")
    assert own.delete("/plugin_releases/small@1.10").status_code == 204
    assert own.post("/plugin_releases/", json={"plugin": "small"}).json()["version"] == "1.0.0"
    missing = own.post("/plugin_releases/", json={"plugin": "none"})
    assert (missing.status_code, missing.json()["detail"]["error_type"]) == (404, "release_not_found")
    write_plugin(shelf / "broken", {"config.yaml": "code: ["})
    assert own.post("/plugin_releases/", json={"plugin": "broken"}).status_code == 422


def test_what_a_source_looked_like_is_known_to_the_next_agent(
    shelf: Path, tmp_path: Path, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It checks for changes without fetching; its notes are removed with the release."""
    old = time.time() - 10
    for path in (shelf / "small", *(shelf / "small").iterdir()):
        os.utime(path, (old, old))
    time.sleep(2.1)  # afterwards, a changed file has another time on any file system
    with EmbeddedAgent(shelf, data_dir=tmp_path / "data") as agent:
        first = create(client_of(agent), "small", "1.0.0").json()
    fetches: list[object] = []
    monkeypatch.setattr(DirectorySource, "fetch", lambda *given, **more: fetches.append((given, more)))
    with EmbeddedAgent(shelf, data_dir=tmp_path / "data") as agent:
        http = client_of(agent)
        assert create(http, "small", "1.0.0").json() == first
        assert fetches == []
        assert len(list((tmp_path / "data" / "source-marks").iterdir())) == 1
        assert http.delete("/plugin_releases/1").status_code == 204
        assert list((tmp_path / "data" / "source-marks").iterdir()) == []
