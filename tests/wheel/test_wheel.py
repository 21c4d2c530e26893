"""The wheel, installed into clean environments: what each extra brings, and what works with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from synapse_agent import EmbeddedAgent
from synapse_agent.runner.pip_settings import uv_options, uv_settings

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
ENVIRON = {**os.environ, **uv_settings(os.environ)}
ENVIRON.pop("SYNAPSE_AGENT_CHECK_ANSWERS", None)  # it needs what only the tests' own environment has

Install = Callable[[str], Path]


def run(*command: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**ENVIRON, **env}, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Install the wheel with extras into an environment that has nothing else; give its folder of programs."""
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    # The lock's versions, which are in uv's cache where `make setup` has filled it; its hashes are of no use here.
    pins = [
        line.split(" ")[0]
        for line in (ROOT / "requirements" / "dev.lock").read_text().splitlines()
        if line[:1].isalpha()
    ]
    (folder / "constraints.txt").write_text("\n".join(pins))

    def install(extras: str) -> Path:
        target = folder / extras.replace(",", "-")
        assert run(UV, "venv", "--quiet", "--python", sys.executable, target).returncode == 0
        wanted = ["--constraint", folder / "constraints.txt", f"{wheel}[{extras}]"]
        command = [UV, "pip", "install", "--quiet", *uv_options(os.environ), "--python", target / "bin" / "python"]
        done = run(*command, "--offline", *wanted)
        done = done if done.returncode == 0 else run(*command, *wanted)
        assert done.returncode == 0, done.stderr
        return target / "bin"

    return install


@pytest.fixture(scope="module")
def agent() -> Iterator[EmbeddedAgent]:
    """An agent that has the example plugins."""
    with EmbeddedAgent(ROOT / "examples" / "plugins") as agent, agent.client() as client:
        client.create_plugin_release("my_plugin", "1.0.0")
        yield agent


def test_the_client_commands_need_the_extra_cli_alone(install: Install, agent: EmbeddedAgent, tmp_path: Path) -> None:
    """Every one of them works; what needs an agent here says what to install."""
    bin_ = install("cli")
    reached = {
        "SYNAPSE_AGENT_URL": agent.base_url,
        "SYNAPSE_AGENT_TOKEN": agent.token,
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
    """From an empty folder, with the plugins that came in the wheel; it leaves that folder empty."""
    shown = run(install("agent,cli") / "synapse-agent", "demo", cwd=tmp_path, PATH=os.defpath)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.endswith("All 11 steps brought what they should.\n")
    assert "Tilt sensor 4711" in shown.stdout
    assert list(tmp_path.iterdir()) == []


def test_without_the_extras_the_command_names_them(install: Install, tmp_path: Path) -> None:
    """One line, exit code 1."""
    bare = run(install("httpx2") / "synapse-agent", "--help", cwd=tmp_path)
    assert bare.returncode == 1
    (line,) = bare.stderr.splitlines()
    assert line.startswith("synapse-agent: typer is not installed. The command needs an extra: pip install")
