"""The changes that CONTRIBUTING.md describes work unmodified, in a copy of the affected files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from blocks import ROOT, Block, blocks_of
from error_types import documented, error_types

BLOCKS = blocks_of(ROOT / "CONTRIBUTING.md")
COPIED = ("generator", "generator_config.yml", "openapi.yaml", "pyproject.toml", "src", "web")
PLUGIN = "src/synapse_sdk/clients/agent/plugin.py"
PREPARED = f"""
from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AsyncAgentClient
from synapse_sdk.exceptions import ValidationError

with EmbeddedAgent({str(ROOT / "examples" / "plugins")!r}, max_log_bytes=10) as agent, agent.client() as client:
    client.create_plugin_release("my_plugin", "1.0.0")
"""
"""Starts an agent with the new setting, and a client, for a block of Python."""
FURTHER = """
import asyncio

client.run_plugin_release("my_plugin@1.0.0", "train", params={"epochs": 3}, job_id="one")
assert "epoch 3/3" not in client.get_job_logs("one"), client.get_job_logs("one")

async def names():
    async with agent.async_client() as other:
        return [action["name"] for action in await other.list_plugin_actions("my_plugin@1.0.0")]

assert asyncio.run(names()) == ["train", "process"]
"""
"""The page's text outside of its blocks."""


HANDLERS = "src/synapse_agent/server/handlers.py"
ARCHIVES = """
from io import BytesIO
from synapse_agent_api.api.jobs import get_job_archive, put_job_archive
from synapse_agent_api.types import File

client.run_plugin_release("my_plugin@1.0.0", "train", params={"epochs": 1}, job_id="packed")
put_job_archive.sync("packed", client=client.api, body=File(BytesIO(b"PK\\x00")))
assert get_job_archive.sync("packed", client=client.api).payload.read() == b"PK\\x00"
assert get_job_archive.SUCCESS == {200: "bytes"}
assert put_job_archive.build_request("packed", body=File(BytesIO()))["headers"] == {"Content-Type": "application/zip"}

from synapse_sdk.clients.agent._request import calls
from synapse_sdk.clients.agent._response.sse import EventReader
from synapse_agent_api.api.jobs import stream_countdown

answer = client._session.send(calls._call(get_job_archive, get_job_archive.build_request("packed")))
assert answer == b"PK\\x00"
stream = client._session.send(calls._call(stream_countdown, stream_countdown.build_request("packed"), "stream"))
reader = EventReader()
assert [event.data for part in stream.parts for event in reader.read(part)][-1] == '{"left": 0}'
"""
"""The page's sentences about facade methods for files and streams, with another kind of file."""


def titled(title: str) -> list[str]:
    """Return the blocks of a title."""
    return [block.text for block in BLOCKS if block.title == title]


def as_archive(text: str) -> str:
    """Return a block about a note, `application/octet-stream`, as one about an archive, `application/zip`."""
    return text.replace("note", "archive").replace("octet-stream", "zip")


def insert(path: Path, text: str, *, before: str | None = None) -> None:
    """Insert text into a file, before the match of a pattern, or else at its end."""
    old = path.read_text(encoding="utf-8")
    at = len(old)
    if before is not None:
        found = re.search(before, old)
        assert found, f"{path} has no {before}"
        at = found.start()
    path.write_text(f"{old[:at]}{text}{old[at:]}", encoding="utf-8")


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the repository's sources with all changes that the page describes."""
    copy = tmp_path_factory.mktemp("contributing")
    for name in COPIED:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copy / name)
    (copy / "node_modules").symlink_to(ROOT / "node_modules")
    change_contract(copy / "openapi.yaml")
    generate = [sys.executable, copy / "generator" / "generate.py"]
    done = subprocess.run(generate, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    change_facade(copy)
    change_agent(copy)
    return copy


def change_contract(path: Path) -> None:
    """Add the field and the operations."""
    contract = yaml.safe_load(path.read_text(encoding="utf-8"))
    field, operation, files, stream = titled("openapi.yaml")
    contract["components"]["schemas"]["RunRequest"]["properties"] |= yaml.safe_load(field)
    for paths in (operation, files, as_archive(files), stream):
        contract["paths"] |= yaml.safe_load(paths)
    path.write_text(yaml.safe_dump(contract, sort_keys=False), encoding="utf-8")


def change_facade(copy: Path) -> None:
    """Add the method, in both clients."""
    calls = "src/synapse_sdk/clients/agent/_request/calls.py"
    insert(copy / calls, f"\n\n{titled(calls)[0]}")
    method, twin = (titled(f"{PLUGIN}, {mixin}")[0] for mixin in ("PluginClientMixin", "AsyncPluginClientMixin"))
    insert(copy / PLUGIN, "\n" + textwrap.indent(method, "    "), before=r"\n\nclass AsyncPluginClientMixin")
    insert(copy / PLUGIN, "\n" + textwrap.indent(twin, "    "))


def change_agent(copy: Path) -> None:
    """Add the handlers, the error type, and the setting with its option."""
    operation, files, stream = titled(HANDLERS)
    insert(copy / HANDLERS, "\n\n" + "\n\n".join([operation, files, as_archive(files), stream]))
    problems = "src/synapse_agent/problems.py"
    insert(copy / problems, f"\n\n{titled(problems)[0]}")
    settings = "src/synapse_agent/settings.py"
    insert(
        copy / settings, textwrap.indent(titled(settings)[0], "    "), before=r"\n    @property\n    def runs_at_once"
    )
    (user,) = (path for path in (copy / "src").rglob("*.py") if "grace=settings.grace" in path.read_text())
    insert(user, "log_bytes=settings.max_log_bytes, ", before=r"grace=settings\.grace")


def run(copy: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder in which the copy is imported."""
    environment = os.environ | {
        "COLUMNS": "200",
        "PYTHONPATH": f"{copy / 'src'}:{copy / 'generated'}:{ROOT / 'tests' / 'docs'}",
    }
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def is_example(block: Block) -> bool:
    """Return whether a block shows usage, rather than the content of a file."""
    return block.language == "python" and block.title is None


def test_what_the_page_shows_works_after_its_changes(changed: Path) -> None:
    """Its examples return the printed values, for both clients, with an agent that has handler and setting."""
    examples = [block.text for block in BLOCKS if is_example(block)]
    assert len(examples) == 5
    code = PREPARED + "    from blocks import compiled\n"
    for text in [*examples, FURTHER, ARCHIVES]:
        code += f"    exec(compiled({text!r}, 'CONTRIBUTING.md'), globals())\n"
    done = run(changed, code)
    assert done.returncode == 0, done.stderr


def test_a_changed_contract_needs_nothing_but_a_generation(changed: Path) -> None:
    """The field and the operation are in request functions, models, TypedDicts and TypeScript's types."""
    code = """
from synapse_agent_api import schemas, typed_dicts
from synapse_agent_api.api.plugin_releases import list_plugin_actions, run_plugin_release
from synapse_agent_api.models import RunRequest
print(run_plugin_release.build_request("1", body=RunRequest("train", priority=3))["json"])
print(list_plugin_actions.build_request("1")["url"], list_plugin_actions.SUCCESS)
print(typed_dicts.RunRequest.__annotations__["priority"].__forward_arg__)
print(schemas.RunRequest(action="train", priority=3).priority)
"""
    assert run(changed, code).stdout.splitlines() == [
        "{'action': 'train', 'priority': 3}",
        "/plugin_releases/1/actions/ {200: 'array'}",
        "NotRequired[int]",
        "3",
    ]
    types = (changed / "generated" / "typescript" / "schema.d.ts").read_text(encoding="utf-8")
    assert "priority?: number;" in types
    assert 'operations["list_plugin_actions"];' in types


def test_the_new_field_is_checked(changed: Path) -> None:
    """A negative priority is answered with 422."""
    body = '{"action": "train", "priority": -1}'
    code = f"""{PREPARED}
    from http.client import HTTPConnection
    connection = HTTPConnection(agent.base_url.removeprefix("http://"))
    headers = {{"Authorization": agent.token, "Content-Type": "application/json"}}
    connection.request("POST", "/plugin_releases/my_plugin@1.0.0/run/", {body!r}, headers)
    answer = connection.getresponse()
    print(answer.status, answer.read().decode())
"""
    done = run(changed, code)
    assert done.stdout.startswith("422 "), done.stdout + done.stderr
    assert "priority" in done.stdout


def test_the_new_option_is_there(changed: Path) -> None:
    """`serve` accepts it, knows its default, and rejects an invalid size."""
    code = "import sys; from synapse_agent.cli import main; sys.argv[0] = 'synapse-agent'; main()"
    done = run(changed, code, "serve", "--plugins", str(ROOT / "examples" / "plugins"), "--max-log-size", "big")
    assert done.returncode == 2, done.stderr
    assert "--max-log-size" in done.stderr
    assert re.search(r"--max-log-size .*\[default: 64MiB\]", run(changed, code, "serve", "--help").stdout)


def test_the_new_error_type_wants_its_row(changed: Path) -> None:
    """The source has it, and the page's row adds it to the reference."""
    text = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    found = set(error_types(changed / "src" / "synapse_agent"))
    assert found - documented(text) == {"release_in_use"}
    (row,) = titled("docs/reference/errors.md, 409")
    assert found == documented(text.replace("### 422 {", f"{row}\n### 422 {{"))
