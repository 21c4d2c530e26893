"""`list`, `get`, `create` and `delete`, piped: JSON on stdout, all else on stderr."""

from __future__ import annotations

import json

import pytest
from waiting import until

from synapse_agent import EmbeddedAgent

pytestmark = pytest.mark.usefixtures("known")


def test_a_list_is_json(cli, known: EmbeddedAgent) -> None:
    """It is an array of the releases, as the agent sent them; filters select from it."""
    listed = cli("list")
    assert (listed.code, listed.err) == (0, "")
    with known.client() as client:
        assert json.loads(listed.out) == client.list_plugin_releases(list_all=True)[0]
    assert json.loads(cli("list", "--plugin", "nobody").out) == []
    assert [each["version"] for each in json.loads(cli("list", "--plugin", "tools", "--version", "1.0.0").out)] == [
        "1.0.0"
    ]


def test_a_release_is_found_by_name_and_by_id(cli) -> None:
    """Both return the same record."""
    by_name = json.loads(cli("get", "tools@1.0.0").out)
    assert by_name["actions"][0]["name"] == "echo"
    assert json.loads(cli("get", str(by_name["id"])).out) == by_name


def test_a_release_is_created_and_deleted(cli, plugins, write_plugin) -> None:
    """Creating it twice does no harm; deleting reports only on stderr."""
    write_plugin(plugins / "passing", code="passing")
    first = cli("create", "passing@1.0.0")
    assert (first.code, first.err) == (0, "")
    assert cli("create", "passing@1.0.0").out == first.out
    deleted = cli("delete", "passing@1.0.0")
    assert (deleted.code, deleted.out, deleted.err) == (0, "", "Deleted passing@1.0.0.\n")
    assert cli("get", "passing@1.0.0").code == 3


def test_a_missing_release_is_an_error_with_advice(cli) -> None:
    """The exit code is 3, and one line has what to do next."""
    missing = cli("get", "absent@1")
    assert (missing.code, missing.out) == (3, "")
    assert missing.err == (
        "synapse-agent: The agent has no release 'absent@1'. "
        "Cache it with 'synapse-agent create absent@1', or see 'synapse-agent list'.\n"
    )
    unfetched = cli("create", "absent@1")
    assert unfetched.code == 3
    assert unfetched.err.endswith("Is it in the folder or backend of 'synapse-agent serve', such as --plugins DIR?\n")
    assert len(unfetched.err.splitlines()) == 1


def test_a_release_that_is_none_is_a_wrong_call(cli) -> None:
    """The exit code is 2, and nothing is sent."""
    for text in ("@1", "tools@", "@"):
        wrong = cli("create", text)
        assert (wrong.code, wrong.err) == (
            2,
            f"synapse-agent: {text!r} is neither CODE@VERSION, such as my_plugin@1.0.0, nor CODE.\n",
        )
    assert cli("get", "..").code == 2


def test_what_an_action_takes_is_shown_once_the_release_has_run(cli) -> None:
    """The output is a JSON Schema; for an unknown action, the message lists the known ones."""
    assert cli("run", "tools@1.0.0", "echo").code == 0
    shown = until(lambda: (ended := cli("show", "tools@1.0.0", "large")).code == 0 and ended)
    assert json.loads(shown.out) == {
        "type": "object",
        "properties": {"size": {}},
        "required": ["size"],
        "additionalProperties": False,
    }
    wrong = cli("show", "tools@1.0.0", "lareg")
    assert (wrong.code, wrong.out) == (3, "")
    assert wrong.err.startswith("synapse-agent: tools@1.0.0 has no action 'lareg'. Available: echo, ")


def test_a_changed_source_is_reported_and_taken_on_request(cli, plugins, write_plugin) -> None:
    """A line on stderr has the command to type; afterwards there is nothing to report."""
    folder = write_plugin(plugins / "changing", code="changing")
    assert cli("create", "changing@1.0.0").code == 0
    (folder / "main.py").write_text("def go(): return 'new'\n")
    changed = cli("create", "changing@1.0.0")
    assert (changed.code, json.loads(changed.out)["source_changed"]) == (0, True)
    assert changed.err == (
        "The source of changing@1.0.0 has changed since it was cached, and runs still use the cached files: "
        "'synapse-agent create changing@1.0.0 --refresh' updates them.\n"
    )
    assert json.loads(cli("run", "changing@1.0.0", "go").out) == "changing@1.0.0"
    refreshed = cli("create", "changing@1.0.0", "--refresh")
    assert (refreshed.code, refreshed.err) == (0, "")
    assert json.loads(refreshed.out)["id"] == json.loads(changed.out)["id"]
    assert json.loads(cli("run", "changing@1.0.0", "go").out) == "new"
    assert cli("create", "changing@1.0.0").err == ""


def test_a_version_that_is_the_only_one_may_be_left_out(cli, plugins, write_plugin) -> None:
    """If there are several, the message lists them."""
    write_plugin(plugins / "single", code="single", version="1.10")
    assert json.loads(cli("create", "single").out)["version"] == "1.10"
    write_plugin(plugins / "single-2", code="single", version="2.0")
    several = cli("create", "single")
    assert (several.code, several.out) == (2, "")
    assert "'single' has several versions. Pass one of: 1.10, 2.0." in several.err
    assert cli("create", "nobody").code == 3


def test_a_run_creates_its_release_on_request(cli, plugins, write_plugin) -> None:
    """Without --create, the message suggests it; with it, the version may be left out, and repeating works."""
    write_plugin(plugins / "uncached", code="uncached")
    missing = cli("run", "uncached@1.0.0", "go")
    assert missing.code == 3
    assert "Cache it with 'synapse-agent create uncached@1.0.0', or run with --create." in missing.err
    for lookup in ("uncached@1.0.0", "uncached", "uncached@1.0.0"):
        assert json.loads(cli("run", "--create", lookup, "go").out) == "uncached@1.0.0"
    assert cli("run", "--create", "absent@1", "go").code == 3


def test_a_release_is_prepared(cli) -> None:
    """`warm` waits until the agent has everything ready, for all actions or for one."""
    assert json.loads(cli("warm", "tools@1.0.0").out) == {
        "release": "tools@1.0.0",
        "action": None,
        "status": "ready",
    }
    assert json.loads(cli("warm", "tools@1.0.0", "echo").out)["action"] == "echo"
    unknown = cli("warm", "tools@1.0.0", "ecko")
    assert unknown.code != 0
    assert "no action 'ecko'" in unknown.err
