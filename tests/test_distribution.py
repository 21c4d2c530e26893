"""The wheels and the sdists are complete, and work in a clean environment, without and with each extra."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from parameters import parameter
from trove_classifiers import classifiers
from uv import find_uv_bin

import synapse_agent
import synapse_sdk
from synapse_agent import EmbeddedAgent
from synapse_agent.page.files import FILES
from synapse_agent.runner.environments.interpreters import Interpreters
from synapse_agent.runner.environments.pip_config import uv_options, uv_settings

ROOT = Path(__file__).parents[1]
AGENT = ROOT / "distributions" / "agent"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
AGENT_PROJECT = tomllib.loads((AGENT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PLUGINS = ROOT / "examples" / "plugins"

LARGEST_CLIENT = 250 * 1024
"""The maximum size of the client's wheel, in bytes."""

Install = Callable[[str], Path]

CALL = """
from synapse_sdk.clients.agent import AgentClient

with AgentClient() as client:
    client.create_plugin_release("my_plugin", "1.0.0")
    result = client.run_plugin_release("my_plugin@1.0.0", "process", params={"input": "to be"})
assert result["words"] == 2, result
"""
USES = {
    "": CALL + "import synapse_sdk\nassert synapse_sdk.openapi_path().read_bytes().startswith(b'openapi: 3.1')\n",
    "httpx2": "import os\nos.environ['SYNAPSE_HTTP_LIBRARY'] = 'httpx2'\n"
    + CALL
    + "import sys\nassert 'httpx2' in sys.modules and 'httpx' not in sys.modules\n",
    "agent": f"""
from synapse_agent import EmbeddedAgent

with EmbeddedAgent({str(PLUGINS)!r}) as agent, agent.client() as client:
    client.create_plugin_release("my_plugin", "1.0.0")
    assert client.run_plugin_release("my_plugin@1.0.0", "process", params={{"input": "to be"}})["words"] == 2
""",
    "cli": CALL,
    "agent,cli": CALL
    + """
import subprocess, sys

for command in (["init", "made"], ["run", "./made", "greet", "-p", "name=Ada"]):
    subprocess.run([sys.executable, "-m", "synapse_agent", *command], check=True)
""",
    "agent,cli,dev": """
import signal, subprocess, sys
from pathlib import Path

Path("made").mkdir()
Path("made/config.yaml").write_text("code: made\\nactions: {go: 'main:go'}\\n")
Path("made/main.py").write_text("def go(): return 'ran'\\n")
command = [sys.executable, "-m", "synapse_agent", "dev", "./made", "go"]
with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
    assert process.stdout.readline() == '"ran"\\n'
    process.send_signal(signal.SIGINT)
""",
    "agent,gpu": f"""
from synapse_agent import EmbeddedAgent

with EmbeddedAgent({str(PLUGINS)!r}, gpus=1) as agent, agent.client() as client:
    assert client.get_gpu_status()["total_gpus"] == 1
""",
    "agent,otel": f"""
import os
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
from synapse_agent import EmbeddedAgent

with EmbeddedAgent({str(PLUGINS)!r}) as agent, agent.client() as client:
    assert client.health_check()["status"] == "ok"
""",
    "agent,ray": f"""
import os
from synapse_agent import EmbeddedAgent

where = {{"runner": "ray", "ray_address": os.environ["CLUSTER"]}}
with EmbeddedAgent({str(PLUGINS)!r}, **where) as agent, agent.client() as client:
    client.create_plugin_release("my_plugin", "1.0.0")
    assert client.run_plugin_release("my_plugin@1.0.0", "process", params={{"input": "to be"}})["words"] == 2
""",
}
"""The first steps of a user, for each set of extras."""


@dataclass(frozen=True)
class Distribution:
    """The files that `make dist` builds."""

    wheel: Path
    sdist: Path
    agent_wheel: Path
    agent_sdist: Path

    @property
    def folder(self) -> Path:
        """The folder that contains them."""
        return self.wheel.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distribution:
    """Build the wheels and the sdists as `make dist` does."""
    return build_both(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed_agent() -> Iterator[EmbeddedAgent]:
    """Run an agent for clients to call."""
    with EmbeddedAgent(PLUGINS) as agent, agent.client() as client:
        client.create_plugin_release("my_plugin", "1.0.0")
        yield agent


@pytest.fixture(scope="module")
def install(built: Distribution, tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Install the wheel with extras into an empty environment, once; return its folder of programs."""
    folder = tmp_path_factory.mktemp("environments")
    constraints = _constraints(folder)

    @cache
    def install(extras: str) -> Path:
        target = folder / (extras or "bare")
        assert run(find_uv_bin(), "venv", "--quiet", "--python", sys.executable, target).returncode == 0
        wanted = ["--constraint", constraints, f"{built.wheel}[{extras}]" if extras else built.wheel]
        command = [find_uv_bin(), "pip", "install", "--quiet", *uv_options(os.environ), "--python", target]
        command += ["--find-links", built.folder]
        done = run(*command, "--offline", *wanted)
        done = done if done.returncode == 0 else run(*command, *wanted)
        assert done.returncode == 0, done.stderr
        return target / "bin"

    return install


def _constraints(folder: Path) -> Path:
    """Write the lock's versions without hashes; `make setup` has put these packages into uv's cache."""
    lock = (ROOT / "requirements" / "dev.lock").read_text(encoding="utf-8")
    (folder / "constraints.txt").write_text("\n".join(re.findall(r"^[\w.-]+==[^\\\n]+", lock, re.M)), encoding="utf-8")
    return folder / "constraints.txt"


def run(*command: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command with a minimal environment and additional variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SYNAPSE_", "PYTHON"))}
    surroundings = {**kept, **uv_settings(os.environ), **env}
    return subprocess.run(command, cwd=cwd, env=surroundings, capture_output=True, text=True, timeout=120)


def build(source: Path, folder: Path, *options: str) -> None:
    """Build the distributions of a source tree, offline."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", folder, *options]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=60)


def build_both(folder: Path) -> Distribution:
    """Build the client's distribution and the agent's."""
    build(ROOT, folder)
    build(AGENT, folder)
    kinds = ("client-*.whl", "client-*.tar.gz", "server-*.whl", "server-*.tar.gz")
    return Distribution(*(next(folder.glob(f"synapse_agent_{kind}")) for kind in kinds))


def metadata_of(wheel: Path) -> tuple[Metadata, str]:
    """Return a wheel's metadata, after checking every field, and its text."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(name).decode()
    return Metadata.from_email(text, validate=True), text


def names_in(wheel: Path) -> set[str]:
    """Return the files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_there_is_a_use_for_every_extra() -> None:
    """Each extra has a test of its use, and a row in the README."""
    extras = set(PROJECT["optional-dependencies"])
    assert {extra for several in USES for extra in several.split(",") if extra} == extras
    assert {
        name for name in extras if f"\n| `{name}` | " not in (ROOT / "README.md").read_text(encoding="utf-8")
    } == set()


SHORT = {"", "httpx2", "agent", "cli", "agent,cli"}
"""The extras that every test run installs."""


@pytest.mark.parametrize("extras", [parameter(each, is_long=each not in SHORT, name=each or "bare") for each in USES])
def test_the_wheel_works_in_a_clean_environment(
    extras: str, install: Install, installed_agent: EmbeddedAgent, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The environment can't see this repository, and warnings are errors."""
    reached = {"SYNAPSE_AGENT_URL": installed_agent.base_url, "SYNAPSE_AGENT_TOKEN": installed_agent.token}
    if "ray" in extras:
        reached["CLUSTER"] = request.getfixturevalue("ray_cluster").address
    used = run(install(extras) / "python", "-I", "-W", "error", "-c", USES[extras], cwd=tmp_path, **reached)
    assert used.returncode == 0, used.stderr


def test_the_client_commands_need_the_extra_cli_alone(
    install: Install, installed_agent: EmbeddedAgent, tmp_path: Path
) -> None:
    """All of them work; those that start an agent report what to install."""
    bin_ = install("cli")
    reached = {
        "SYNAPSE_AGENT_URL": installed_agent.base_url,
        "SYNAPSE_AGENT_TOKEN": installed_agent.token,
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    source = str(ROOT / "examples" / "plugins" / "my_plugin")
    for arguments in (
        ["--help"],
        ["health"],
        ["list"],
        ["get", "my_plugin@1.0.0"],
        ["create", "my_plugin@1.0.0"],
        ["run", "my_plugin@1.0.0", "process", "-p", "input=a b a"],
        ["debug", "--send-source", source, "process", "-p", "input=a b a"],
        ["debug", "--send-path", source, "train", "--job-id", "trained"],
        ["jobs", "list"],
        ["jobs", "logs", "-f", "trained"],
        ["jobs", "wait", "trained"],
        ["doctor"],
        ["use"],
    ):
        ended = run(bin_ / "synapse-agent", *arguments, cwd=tmp_path, **reached)
        assert ended.returncode == 0, (arguments, ended.stderr)
    for arguments in (["serve", "--plugins", source], ["demo"]):
        missing = run(bin_ / "synapse-agent", *arguments, cwd=tmp_path)
        assert (missing.returncode, missing.stdout) == (1, "")
        (line,) = missing.stderr.splitlines()
        assert line.endswith(
            "is not installed. The agent needs an extra: pip install 'synapse-agent-client[agent,cli]'"
        )


def test_the_demo_needs_nothing_but_the_package(install: Install, tmp_path: Path) -> None:
    """It runs in an empty folder with the wheel's plugins, and leaves the folder empty."""
    shown = run(install("agent,cli") / "synapse-agent", "demo", cwd=tmp_path, PATH=os.defpath)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.endswith("All 11 steps passed.\n")
    assert "Tilt sensor 4711" in shown.stdout
    assert list(tmp_path.iterdir()) == []


def test_without_the_extras_the_command_names_them(built: Distribution, tmp_path: Path) -> None:
    """The command prints one line, and exits with 1."""
    assert run(find_uv_bin(), "venv", "--quiet", "--python", sys.executable, tmp_path / "venv").returncode == 0
    wheels = (built.wheel, built.agent_wheel)
    added = run(find_uv_bin(), "pip", "install", "--no-deps", "--python", tmp_path / "venv", *wheels)
    assert added.returncode == 0, added.stderr
    bare = run(tmp_path / "venv" / "bin" / "synapse-agent", "--help", cwd=tmp_path)
    assert bare.returncode == 1
    (line,) = bare.stderr.splitlines()
    assert line.startswith("synapse-agent: typer is not installed. The command needs an extra: pip install")


@pytest.fixture(scope="module")
def python_of_the_public_sdk() -> Path:
    """Find a Python that the public SDK supports."""

    async def find() -> Path | None:
        return await anext((each.path async for each in Interpreters().fitting(">=3.12")), None)

    return asyncio.run(find()) or pytest.skip("The public synapse-sdk needs Python 3.12 or later.")


@pytest.mark.parametrize("last", ["theirs", "ours"])
def test_the_public_sdk_in_the_same_environment_is_reported(
    last: str, built: Distribution, python_of_the_public_sdk: Path, tmp_path: Path
) -> None:
    """With the real SDK, installed in either order, one sentence has the fix, and the fix works."""
    venv, theirs = tmp_path / "venv", "synapse-sdk"
    ours = [f"{built.wheel}[cli]", "--find-links", built.folder, "--constraint", _constraints(tmp_path)]

    def pip(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return run(find_uv_bin(), "pip", *arguments, "--quiet", *uv_options(os.environ), "--python", venv)

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run(venv / "bin" / "python", "-W", "ignore", venv / "bin" / "synapse-agent", *arguments)

    assert run(find_uv_bin(), "venv", "--quiet", "--python", python_of_the_public_sdk, venv).returncode == 0
    with_theirs = pip("install", "--no-deps", theirs)
    if with_theirs.returncode:
        pytest.skip(f"synapse-sdk can't be installed from the package index here: {with_theirs.stderr.strip()[-200:]}")
    done = pip("install", *ours)
    assert done.returncode == 0, done.stderr
    if last == "theirs":
        assert pip("install", "--no-deps", "--reinstall-package", theirs, theirs).returncode == 0
    told = command("--version")
    assert (told.returncode, len(told.stderr.splitlines())) == (1 if last == "theirs" else 0, 1), told.stderr
    assert "synapse-agent-client and the public synapse-sdk both contain the package `synapse_sdk`" in told.stderr
    assert pip("uninstall", theirs).returncode == 0  # also removes the files that both have
    broken = command("--version")
    assert (broken.returncode, len(broken.stderr.splitlines())) == (1, 1), broken.stderr
    assert "'pip install --force-reinstall --no-deps synapse-agent-client'" in broken.stderr
    assert pip("install", "--reinstall", "--no-deps", built.wheel).returncode == 0
    repaired = command("--version")
    assert (repaired.returncode, repaired.stderr) == (0, ""), repaired.stderr


def test_the_bare_wheel_needs_httpx_and_attrs_alone(built: Distribution) -> None:
    """It also installs httpx's requirements that the client imports; everything else belongs to an extra."""
    metadata, _ = metadata_of(built.wheel)
    assert {need.name for need in metadata.requires_dist or () if not need.marker} == {
        "anyio",
        "attrs",
        "h11",
        "httpx",
    }
    assert set(metadata.provides_extra or ()) == set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("name", ["synapse-agent-client", "synapse-agent-server"])
def test_the_metadata_is_complete(name: str, built: Distribution) -> None:
    """It has the fields that an index shows or requires."""
    metadata, _ = metadata_of(built.wheel if name == "synapse-agent-client" else built.agent_wheel)
    assert metadata.name == name
    assert metadata.summary
    assert metadata.license_expression == "Apache-2.0"
    assert (AGENT / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert "LICENSE" in (metadata.license_files or ())
    assert metadata.description_content_type == "text/markdown"
    assert metadata.requires_python is not None
    assert "3.11" in metadata.requires_python
    assert "3.10" not in metadata.requires_python
    assert {"Typing :: Typed", "Programming Language :: Python :: 3.11"} <= set(metadata.classifiers or ())
    assert set(metadata.classifiers or ()) <= classifiers
    assert metadata.author == "the maintainers of synapse-agent-client"
    assert metadata.keywords
    assert set(metadata.project_urls or ()) >= {"Homepage", "Changelog", "Issues"}


def test_the_version_is_defined_in_one_place(built: Distribution) -> None:
    """Everything that has a version has that of `src/synapse_sdk/_version.py`."""
    metadata, _ = metadata_of(built.wheel)
    assert str(metadata.version) == synapse_sdk.__version__ == synapse_agent.__version__
    assert "version" not in PROJECT.keys() | AGENT_PROJECT.keys()
    assert AGENT_PROJECT["dependencies"] == [f"synapse-agent-client=={synapse_sdk.__version__}"]
    sources = [path for path in (ROOT / "src").rglob("*.py") if f'"{synapse_sdk.__version__}"' in path.read_text()]
    assert [path.name for path in sources if "__version__" in path.read_text()] == ["_version.py"]


def test_the_wheel_holds_what_is_needed(built: Distribution) -> None:
    """It has `py.typed` and the contract, no other files of the repository, and no file is in both wheels."""
    assert names_in(built.wheel).isdisjoint(names_in(built.agent_wheel))
    names = names_in(built.wheel) | names_in(built.agent_wheel)
    for package in ("synapse_sdk", "synapse_agent", "synapse_agent_api"):
        assert f"{package}/py.typed" in names
    assert "synapse_agent_api/openapi.yaml" in names_in(built.wheel)
    assert {f"synapse_agent_api/{name}" for name, _ in FILES.values()} <= names
    licenses = {"LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt"}
    assert {f"synapse_agent_api/reference/{name}" for name in licenses} <= names
    known = {"synapse_sdk", "synapse_agent", "synapse_agent_api"}
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == known
    assert not [name for name in names if "__pycache__" in name or name.startswith(("tests/", "docs/"))]


def test_the_client_alone_is_small(built: Distribution) -> None:
    """Every program that calls an agent downloads it; it has no agent and no pages."""
    assert built.wheel.stat().st_size <= LARGEST_CLIENT
    assert {name.partition("/")[0] for name in names_in(built.wheel)} == {
        "synapse_sdk",
        "synapse_agent_api",
        f"synapse_agent_client-{synapse_sdk.__version__}.dist-info",
    }


@pytest.mark.parametrize("kind", ["client", "agent"])
def test_the_sdist_builds_the_same_wheel(kind: str, built: Distribution, tmp_path: Path) -> None:
    """Installers that build from source get the same bytes."""
    sdist, wheel = (built.sdist, built.wheel) if kind == "client" else (built.agent_sdist, built.agent_wheel)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    build(next(tmp_path.iterdir()), tmp_path / "dist", "-t", "wheel")
    (again,) = (tmp_path / "dist").glob("*.whl")
    assert again.read_bytes() == wheel.read_bytes()


def test_a_second_build_has_the_same_bytes(built: Distribution, tmp_path: Path) -> None:
    """So anyone can build a commit and compare it with the published files."""
    again = build_both(tmp_path)
    for name in ("wheel", "sdist", "agent_wheel", "agent_sdist"):
        assert getattr(again, name).read_bytes() == getattr(built, name).read_bytes(), name


def test_an_index_takes_what_is_built(built: Distribution) -> None:
    """`twine check --strict` renders the description."""
    checked = run(sys.executable, "-m", "twine", "check", "--strict", *built.folder.iterdir())
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.count("PASSED") == 4


def test_pictures_and_links_of_the_description_are_absolute(built: Distribution) -> None:
    """An index shows the README at another address."""
    description = str(metadata_of(built.wheel)[0].description)
    targets = re.findall(r"\]\(([^)]+)\)", description)
    assert len(targets) == len(re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
    base = PROJECT["urls"]["Homepage"]
    own = [target for target in targets if target.startswith(base)]
    assert f"{base}/blob/v{synapse_sdk.__version__}/docs/comparison.md" in own
    for target in own:
        kind, version, path = target.removeprefix(f"{base}/").split("/", 2)
        assert version == f"v{synapse_sdk.__version__}"
        assert (kind == "raw") == path.endswith((".svg", ".png"))
        assert (ROOT / path.partition("#")[0]).exists(), target


@pytest.mark.long
def test_uvx_runs_the_demo_from_what_was_built(built: Distribution, tmp_path: Path) -> None:
    """The README has this command for a clone; after a release, `--find-links` is not needed."""
    (release,) = built.folder.glob("synapse_agent_client-*.whl")
    options = ["--find-links", built.folder, "--constraints", _constraints(tmp_path), *uv_options(os.environ)]
    command = ["tool", "run", "--python", sys.executable, *options, "--from", f"{release}[agent,cli]"]
    shown = run(find_uv_bin(), *command, "synapse-agent", "demo", cwd=tmp_path, UV_TOOL_DIR=str(tmp_path / "tools"))
    assert shown.returncode == 0, shown.stderr
    assert "11 steps" in shown.stdout.splitlines()[-1]


@pytest.mark.long
@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_the_wheels_work_on_each_python(version: str, built: Distribution, tmp_path: Path) -> None:
    """These are the versions in the classifiers; missing ones are skipped. The other tests run on 3.11."""

    async def find() -> Path | None:
        return await anext((each.path async for each in Interpreters().fitting(f"=={version}.*")), None)

    python = asyncio.run(find()) or pytest.skip(f"Python {version} was not found.")
    venv = tmp_path / "venv"
    assert run(find_uv_bin(), "venv", "--quiet", "--python", python, venv).returncode == 0
    wanted = ["--find-links", built.folder, "--constraint", _constraints(tmp_path), f"{built.wheel}[agent,cli]"]
    done = run(find_uv_bin(), "pip", "install", "--quiet", *uv_options(os.environ), "--python", venv, *wanted)
    assert done.returncode == 0, done.stderr
    used = run(venv / "bin" / "python", "-I", "-W", "error", "-c", USES["agent"], cwd=tmp_path)
    assert used.returncode == 0, used.stderr


def test_the_changelog_is_in_the_form_that_it_names() -> None:
    """It follows Keep a Changelog: newest first, with dates, known kinds and the contract's, each change once."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.M)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", heading) for heading in headings[1:])
    known = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    for part in text.split("\n## ")[1:]:
        kinds = re.findall(r"^### (?!Contract \d+\.\d+\.\d+$)(.*)$", part, re.M)
        assert set(kinds) <= known
        assert len(kinds) == len(set(kinds))
        entries = [" ".join(entry.split()) for entry in re.findall(r"^- (.*(?:\n  .*)*)", part, re.M)]
        assert [entry for entry in entries if entries.count(entry) > 1] == []
