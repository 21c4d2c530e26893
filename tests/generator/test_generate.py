"""`make generate`, run on a copy of what it reads; test_contributing.py runs it on a contract that was changed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
from contract import CONTRACT
from generate import of_requests, require_operations, swap

REPOSITORY = Path(__file__).resolve().parents[2]
INPUTS = ("openapi.yaml", "generator_config.yml", "pyproject.toml", "generator", "web")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """All inputs of the generation, in a separate folder, without generated files."""
    for name in INPUTS:
        source = REPOSITORY / name
        copy_of = shutil.copytree if source.is_dir() else shutil.copy
        copy_of(source, tmp_path / name)
    (tmp_path / "node_modules").symlink_to(REPOSITORY / "node_modules")
    return tmp_path


def generate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "generator" / "generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_check_names_the_files_that_were_edited_by_hand(copy: Path) -> None:
    """A changed, an extra and a missing file are each named, and nothing is written.

    Other files are not named: the output does not depend on folder and time.
    """
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
    assert list(copy.glob(".generating-*")) == []


def test_a_failed_generation_reports_why_and_keeps_the_old_one(copy: Path) -> None:
    """A failing generator is named with its output, and generated/ stays unchanged."""
    (copy / "generated").mkdir()
    (copy / "generated" / "old.txt").touch()
    (copy / "openapi.yaml").write_text("openapi: 3.1.0\ninfo: {title: Empty}\npaths: {}\n")

    result = generate(copy)

    assert result.returncode == 1
    assert " failed; generated/ is unchanged.\n" in result.stderr
    assert list(contents(copy / "generated")) == ["old.txt"]
    assert list(copy.glob(".generating-*")) == []


def test_an_operation_whose_module_another_one_took_is_missed() -> None:
    """If two operations would share a module, the generator silently drops one."""
    contract = deepcopy(CONTRACT)
    package = REPOSITORY / "generated" / "synapse_agent_api"
    require_operations(contract, package)
    contract["paths"]["/jobs/{job_id}/"]["get"]["operationId"] = "listJobs"

    with pytest.raises(SystemExit, match="Each operationId must be snake_case and differ from all others"):
        require_operations(contract, package)


def test_the_agent_has_models_of_what_requests_contain() -> None:
    """They cover bodies, parameters and their references, but no responses."""

    def schema(name: str) -> dict[str, str]:
        return {"$ref": f"#/components/schemas/{name}"}

    body = {"content": {"application/json": {"schema": schema("Asked")}}}
    posting = {"requestBody": body, "responses": {"200": {"schema": schema("Answered")}}}
    path = {"parameters": [{"$ref": "#/components/parameters/Named"}, {"schema": schema("Lookup")}], "post": posting}
    schemas = {
        "Answered": {"type": "object"},
        "Asked": {"properties": {"part": {"anyOf": [schema("Part"), schema("Asked")]}}},
        "Lookup": {"type": "string"},
        "Named": {"type": "string"},
        "Part": {"type": "string"},
    }
    components = {"parameters": {"Named": {"schema": schema("Named")}}, "schemas": schemas}
    found = of_requests({"paths": {"/": path}, "components": components})
    assert list(found["components"]["schemas"]) == ["Asked", "Lookup", "Named", "Part"]


def test_a_finished_generation_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    """Nothing of the old one is left. The first generation works, too."""
    current, old = tmp_path / "generated", tmp_path / "old"
    for name in ("first", "second"):
        (tmp_path / "fresh").mkdir()
        (tmp_path / "fresh" / name).touch()

        swap(tmp_path / "fresh", current, old=old)

        assert list(contents(current)) == [name]
