"""`make generate`, run on copies of what it reads."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
INPUTS = ("openapi.yaml", "generator_config.yml", "pyproject.toml", "generator")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """All that a generation reads, in a folder of its own, with nothing generated yet."""
    for name in INPUTS:
        source = REPOSITORY / name
        copy_of = shutil.copytree if source.is_dir() else shutil.copy
        copy_of(source, tmp_path / name)
    (tmp_path / "node_modules").symlink_to(REPOSITORY / "node_modules")
    return tmp_path


def generate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "generator" / "generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def edit_contract(folder: Path, **changes: Any) -> None:
    """Lay keys such as `components__schemas__Job__title` over the contract."""
    path = folder / "openapi.yaml"
    contract = yaml.safe_load(path.read_text(encoding="utf-8"))
    for keys, value in changes.items():
        *parents, last = keys.split("__")
        place = contract
        for key in parents:
            place = place[key]
        place[last] = value
    path.write_text(yaml.safe_dump(contract, sort_keys=False), encoding="utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def evaluate(folder: Path, program: str) -> str:
    """Run a few lines where the folder's generated package is the one that gets imported."""
    command = [sys.executable, "-c", program]
    environment = {"PYTHONPATH": str(folder / "generated"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_a_generation_from_nothing_gives_what_is_committed(copy: Path) -> None:
    """Elsewhere, at another time and without an old generation, the same bytes come out."""
    result = generate(copy)

    assert result.returncode == 0, result.stderr
    assert contents(copy / "generated") == contents(REPOSITORY / "generated")
    assert [path.name for path in copy.glob(".generating-*")] == []


def test_a_changed_contract_needs_nothing_but_a_generation(copy: Path) -> None:
    """A new optional field and a new operation reach request functions, TypedDicts, models and TypeScript's types."""
    shutil.copytree(REPOSITORY / "generated", copy / "generated")
    ping = {
        "operationId": "ping_agent",
        "tags": ["health"],
        "responses": {"200": {"description": "Pong.", "content": {"application/json": {"schema": {}}}}},
    }
    edit_contract(
        copy,
        components__schemas__RunRequest__properties__priority={"type": "integer", "minimum": 0},
        **{"paths__/ping/": {"get": ping}},
    )

    check = generate(copy, "--check")
    result = generate(copy)

    assert check.returncode == 1
    assert "generated/synapse_agent_api/models/run_request.py is not what" in check.stderr
    assert "generated/synapse_agent_api/api/health/ping_agent.py is not what" in check.stderr
    assert "generated/typescript/schema.d.ts is not what" in check.stderr
    assert "generated/synapse_agent_api/models/job.py" not in check.stderr
    assert result.returncode == 0, result.stderr
    program = """
from synapse_agent_api import schemas, typed_dicts
from synapse_agent_api.api.health import ping_agent
from synapse_agent_api.api.plugin_releases import run_plugin_release
from synapse_agent_api.models import RunRequest
print(run_plugin_release.build_request("1", body=RunRequest("train", priority=3))["json"])
print(ping_agent.build_request()["url"], ping_agent.SUCCESS)
print(typed_dicts.RunRequest.__annotations__["priority"].__forward_arg__)
print(schemas.RunRequest(action="train", priority=3).priority)
"""
    assert evaluate(copy, program).splitlines() == [
        "{'action': 'train', 'priority': 3}",
        "/ping/ {200: 'any'}",
        "NotRequired[int]",
        "3",
    ]
    types = (copy / "generated" / "typescript" / "schema.d.ts").read_text(encoding="utf-8")
    assert "priority?: number;" in types
    assert 'operations["ping_agent"];' in types


def test_check_names_the_files_that_were_edited_by_hand(copy: Path) -> None:
    """A file that was changed, one too many and one too few are each named, and nothing is written."""
    package = copy / "generated" / "synapse_agent_api"
    shutil.copytree(REPOSITORY / "generated", copy / "generated")
    (package / "types.py").write_text("UNSET = None\n")
    (package / "extra.py").touch()
    (package / "path.py").unlink()
    before = contents(copy / "generated")

    result = generate(copy, "--check")

    assert result.returncode == 1
    assert [line.split()[0] for line in result.stderr.splitlines()] == [
        "generated/synapse_agent_api/extra.py",
        "generated/synapse_agent_api/path.py",
        "generated/synapse_agent_api/types.py",
    ]
    assert contents(copy / "generated") == before


def test_a_failed_generation_says_why_and_leaves_the_old_one(copy: Path) -> None:
    """Two operations whose modules would be one file are refused, and generated/ stays as it was."""
    (copy / "generated").mkdir()
    (copy / "generated" / "old.txt").touch()
    edit_contract(copy, **{"paths__/jobs/{job_id}/__get__operationId": "listJobs"})

    result = generate(copy)

    assert result.returncode == 1
    assert "Each operationId must be snake_case" in result.stderr
    assert list(contents(copy / "generated")) == ["old.txt"]
