"""`make spec-diff`: what each kind of change means, and which version of the contract it requires."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spec_diff
from spec_change import Level
from spec_changes import ADDS, CHANGES, DOCUMENT, changed
from spec_documents import changes

REPOSITORY = Path(__file__).parents[2]
CONTRACT: dict[str, Any] = spec_diff.parsed((REPOSITORY / "openapi.yaml").read_bytes())
MAJOR, MINOR, PATCH, NONE = Level.MAJOR, Level.MINOR, Level.PATCH, Level.NONE
GONE = object()
NEW_OPERATION = {"operationId": "ping", "tags": ["health"], "responses": {"200": {"description": "Pong."}}}
NEW_PARAMETER = {"name": "x", "in": "query", "schema": {"type": "string"}}

Edit = Callable[[dict[str, Any]], Any]


def put(path: str, value: Any) -> Edit:
    """Return an edit that sets or removes a value in the contract; `>` separates the steps of its path."""

    def edit(contract: dict[str, Any]) -> None:
        *steps, last = [int(step) if step.isdecimal() and len(step) < 3 else step for step in path.split(">")]
        place: Any = contract
        for step in steps:
            place = place[step]
        if value is GONE:
            del place[last]
        elif last == "+":
            place.append(value)
        else:
            place[last] = value

    return edit


SCHEMAS = "components>schemas"
JOBS = "paths>/jobs/>get"
CREATE = "paths>/plugin_releases/>post"
LOGS = "paths>/jobs/{job_id}/logs/>get"

KINDS: list[tuple[str, Level, str, Edit]] = [
    ("nothing", NONE, "", put("info>title", CONTRACT["info"]["title"])),
    ("a description", PATCH, "document", put(f"{SCHEMAS}>Job>description", "Other words.")),
    ("an operation gone", MAJOR, "GET /jobs/{}/logs/", put("paths>/jobs/{job_id}/logs/", GONE)),
    ("an operation added", MINOR, "GET /ping/", put("paths>/ping/", {"get": NEW_OPERATION})),
    ("an operation renamed", MAJOR, "GET /jobs/", put(f"{JOBS}>operationId", "jobs")),
    ("an operation in another module", MAJOR, "first tag", put(f"{JOBS}>tags", ["runs", "jobs"])),
    ("a parameter gone", MAJOR, "query parameter limit", put(f"{JOBS}>parameters>1", GONE)),
    ("a parameter added", MINOR, "query parameter x", put(f"{JOBS}>parameters>+", NEW_PARAMETER)),
    (
        "a parameter added and required",
        MAJOR,
        "x is new",
        put(f"{JOBS}>parameters>+", NEW_PARAMETER | {"required": True}),
    ),
    ("a parameter required", MAJOR, "parameter limit: is required", put(f"{JOBS}>parameters>1>required", True)),
    ("a parameter's bound tightened", MAJOR, "maximum", put(f"{JOBS}>parameters>1>schema>maximum", 10)),
    ("a parameter's bound loosened", MINOR, "maximum", put(f"{JOBS}>parameters>1>schema>maximum", 10_000)),
    ("a parameter's default changed", MAJOR, "default", put(f"{JOBS}>parameters>1>schema>default", 5)),
    ("a parameter's pattern changed", MAJOR, "pattern", put(f"{SCHEMAS}>Lookup>pattern", "^[a-z]+$")),
    ("a header parameter gone", MAJOR, "Idempotency-Key", put(f"{CREATE}>parameters", [])),
    (
        "a field of a request added",
        MINOR,
        "priority",
        put(f"{SCHEMAS}>RunRequest>properties>priority", {"type": "integer"}),
    ),
    (
        "a field of a request gone",
        MAJOR,
        "language is gone",
        put(f"{SCHEMAS}>DebugRunRequest>properties>language", GONE),
    ),
    ("a field of a request required", MAJOR, "params is required", put(f"{SCHEMAS}>RunRequest>required>+", "params")),
    ("a field of a request optional", MINOR, "action is optional", put(f"{SCHEMAS}>DebugRunRequest>required", [])),
    (
        "a field of a request of another type",
        MAJOR,
        "version: no longer allows string",
        put(f"{SCHEMAS}>CreatePluginReleaseRequest>properties>version>type", "number"),
    ),
    (
        "a field of a request that may be null",
        MINOR,
        "can be null",
        put(f"{SCHEMAS}>DebugRunRequest>properties>plugin_path>type", ["string", "null"]),
    ),
    (
        "a field of a request with a longer least length",
        MAJOR,
        "minLength",
        put(f"{SCHEMAS}>CreatePluginReleaseRequest>properties>plugin>minLength", 3),
    ),
    (
        "a request that is closed",
        MAJOR,
        "further properties",
        put(f"{SCHEMAS}>CreatePluginReleaseRequest>additionalProperties", False),
    ),
    ("a choice of a request gone", MAJOR, "LegacyRunPayload is gone", put(f"{SCHEMAS}>RunBody>anyOf>1", GONE)),
    ("a body gone", MAJOR, "no body", put(f"{CREATE}>requestBody", GONE)),
    ("a body that may be left out", MINOR, "optional", put(f"{CREATE}>requestBody>required", False)),
    ("a field of an answer added", MINOR, "rack is new", put(f"{SCHEMAS}>Job>properties>rack", {"type": "string"})),
    ("a field of an answer gone", MAJOR, "digest is gone", put(f"{SCHEMAS}>PluginRelease>properties>digest", GONE)),
    ("a field of an answer optional", MAJOR, "status is optional", put(f"{SCHEMAS}>Health>required", [])),
    ("a field of an answer sure", MINOR, "version is required", put(f"{SCHEMAS}>Health>required>+", "version")),
    (
        "a field of an answer of another type",
        MAJOR,
        "id: ",
        put(f"{SCHEMAS}>PluginRelease>properties>id>type", "string"),
    ),
    ("a field of an answer null", MAJOR, "null now", put(f"{SCHEMAS}>Job>properties>method>type", ["string", "null"])),
    (
        "a field of an answer never null",
        MINOR,
        "allows null",
        put(f"{SCHEMAS}>Job>properties>release>type", "string"),
    ),
    ("an answer's field without its format", MAJOR, "format", put(f"{SCHEMAS}>Job>properties>created_at>format", GONE)),
    ("a value of an enumeration added", MINOR, '"LOST" is new', put(f"{SCHEMAS}>JobStatus>enum>+", "LOST")),
    (
        "a value of a list that may grow added",
        MINOR,
        '"LOST" is new',
        put(f"{SCHEMAS}>Job>properties>status>x-extensible-enum>+", "LOST"),
    ),
    # Callers can't filter by it any more: a filter uses the same enumeration.
    ("a value of an enumeration gone", MAJOR, '"STOPPED" is gone', put(f"{SCHEMAS}>JobStatus>enum>4", GONE)),
    ("a kind of detail added", MAJOR, "choice number is new", put(f"{SCHEMAS}>Detail>anyOf>+", {"type": "number"})),
    ("a status of success gone", MAJOR, "the answer 201 is gone", put(f"{CREATE}>responses>201", GONE)),
    ("a status of success added", MAJOR, "the answer 202 is new", put(f"{CREATE}>responses>202", {"description": "x"})),
    ("an error added", MINOR, "the answer 429 is new", put(f"{CREATE}>responses>429", {"description": "x"})),
    ("an error gone", MAJOR, "the answer 502 is gone", put(f"{CREATE}>responses>502", GONE)),
    (
        "another media type",
        MAJOR,
        "text/plain is gone",
        put(f"{LOGS}>responses>200>content", {"application/json": {"schema": {"type": "string"}}}),
    ),
    (
        "a header of an answer gone",
        MAJOR,
        "Retry-After is gone",
        put("components>responses>TooManyRuns>headers>Retry-After", GONE),
    ),
    (
        "a header of an answer added",
        MINOR,
        "Age is new",
        put(f"{LOGS}>responses>200>headers", {"Age": {"schema": {"type": "integer"}}}),
    ),
    ("a token that is needed now", MAJOR, "no longer", put("paths>/health/>get>security", [{"agentToken": []}])),
    (
        "a token that is not needed any more",
        MINOR,
        "another form of authentication",
        put(f"{JOBS}>security", [{"agentToken": []}, {}]),
    ),
    ("a token in another header", MAJOR, "agentToken", put("components>securitySchemes>agentToken>name", "X-Token")),
    (
        "what is not understood",
        MAJOR,
        "not known here",
        put(f"{SCHEMAS}>Job>discriminator", {"propertyName": "method"}),
    ),
]


@pytest.mark.parametrize(("level", "text", "edit"), [kind[1:] for kind in KINDS], ids=[kind[0] for kind in KINDS])
def test_each_kind_of_change_is_classified(level: Level, text: str, edit: Edit) -> None:
    """A change that breaks clients requires a new major version, an addition a minor one, wording none."""
    new = copy.deepcopy(CONTRACT)
    edit(new)
    found = changes(CONTRACT, new)
    assert max((change.level for change in found), default=NONE) == level, list(map(str, found))
    assert any(text in str(change) for change in found) or not text, list(map(str, found))


def test_components_are_compared_at_each_use() -> None:
    """The same change of a schema is an addition in responses, and breaking in requests."""
    old: dict[str, Any] = {
        "info": {"version": "1.0.0"},
        "paths": {
            "/a/": {"post": {"responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/s/A"}}}}}}}
        },
        "s": {"A": {"type": "object", "properties": {"next": {"$ref": "#/s/A"}, "x": {"type": ["string", "null"]}}}},
    }
    narrower = copy.deepcopy(old)
    narrower["s"]["A"]["properties"]["x"]["type"] = "string"
    assert [change.level for change in changes(old, narrower)] == [MINOR]
    for contract in (old, narrower):
        contract["paths"]["/a/"]["post"]["requestBody"] = {
            "content": {"application/json": {"schema": {"$ref": "#/s/A"}}}
        }
    assert [change.level for change in changes(old, narrower)] == [MAJOR, MINOR]


@pytest.mark.parametrize(
    ("old", "new", "level", "problem"),
    [
        ("1.0.0", "1.0.0", NONE, None),
        ("1.0.0", "1.0.0", PATCH, None),
        ("1.0.0", "1.0.1", PATCH, None),
        ("1.2.3", "1.2.4", MINOR, "Raise info.version to 1.3.0"),
        ("1.2.3", "1.3.0", MINOR, None),
        ("1.2.3", "2.0.0", MINOR, None),
        ("1.2.3", "1.3.0", MAJOR, "raise info.version to 2.0.0"),
        ("1.2.3", "2.0.0", MAJOR, None),
        ("1.2.3", "1.2.2", NONE, "never goes back"),
    ],
)
def test_what_a_change_asks_of_the_version(old: str, new: str, level: Level, problem: str | None) -> None:
    """The version must have risen as far as the changes require, or further."""
    found = spec_diff.version_problem(old, new, level)
    assert found == problem if problem is None else problem in str(found)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, which holds the contract."""
    (tmp_path / "openapi.yaml").write_text(json.dumps(CONTRACT), encoding="utf-8")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "Begin")
    return tmp_path


def git(repository: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.invalid")
    subprocess.run(["git", *identity, *arguments], cwd=repository, check=True)


def write(repository: Path, edit: Edit) -> None:
    """Change the contract of a repository."""
    contract = copy.deepcopy(CONTRACT)
    edit(contract)
    (repository / "openapi.yaml").write_text(json.dumps(contract), encoding="utf-8")


def test_without_a_release_there_is_nothing_to_compare(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That is not a failure; the message shows how to compare with another commit."""
    assert spec_diff.main(["--repository", str(repository)]) == 0
    assert "There is no release yet" in capsys.readouterr().out


def test_a_breaking_change_fails_until_the_major_version_rises(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script compares with the last release tag, and names each change."""
    git(repository, "tag", "v0.1.0")
    assert spec_diff.main(["--repository", str(repository)]) == 0
    write(repository, put(f"{SCHEMAS}>Health>required", []))
    assert spec_diff.main(["--repository", str(repository)]) == 1
    said = capsys.readouterr().out
    assert "breaks clients: Health (response): the property status is optional now" in said
    assert "at v0.1.0 it is 1.0.0: this breaks clients. Take it back, or raise info.version to 2.0.0" in said

    def raised(contract: dict[str, Any]) -> None:
        put(f"{SCHEMAS}>Health>required", [])(contract)
        put("info>version", "2.0.0")(contract)

    write(repository, raised)
    assert spec_diff.main(["--repository", str(repository)]) == 0


def test_a_ref_can_be_named(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It may be a branch or a commit, such as the target of a merge; a missing one is reported."""
    git(repository, "branch", "before")
    write(repository, put("paths>/ping/", {"get": NEW_OPERATION}))
    assert spec_diff.main(["before", "--repository", str(repository)]) == 1
    assert "there are additions. Raise info.version to 1.1.0" in capsys.readouterr().out
    assert spec_diff.main(["nowhere", "--repository", str(repository)]) == 2
    assert "There is no openapi.yaml at 'nowhere'" in capsys.readouterr().err


@pytest.mark.parametrize(("verdict", "edit"), [each[1:] for each in CHANGES], ids=[each[0] for each in CHANGES])
def test_a_change_of_any_part_of_a_document_is_classified(verdict: str, edit: Edit) -> None:
    """This covers every subschema, servers, callbacks and names, and separates breaking changes from others."""
    found = changes(DOCUMENT, changed(edit))
    assert found
    assert str(found[0]).partition(":")[0] == verdict, list(map(str, found))


def test_a_change_and_its_reverse_are_both_seen() -> None:
    """An addition is a removal in the reverse direction; symmetric changes stay the same."""
    for name, verdict, edit in CHANGES:
        back = changes(changed(edit), DOCUMENT)
        assert back, name
        if verdict == ADDS and "deprecated" not in name and "may grow" not in name:
            assert back[0].level == MAJOR, (name, list(map(str, back)))
