"""How commands end: exit codes, and errors that are one line."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import synapse_sdk
from synapse_agent import EmbeddedAgent
from synapse_agent.cli.failures import About, failure
from synapse_agent.cli.program import command
from synapse_sdk.exceptions import ClientConnectionError


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    """An address with a listener that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["health"], ["get", "a@1"], ["run", "a@1", "go"], ["jobs", "get", "a"], ["jobs", "wait", "a"]],
    ids=" ".join,
)
def test_an_agent_that_is_not_there(cli, arguments: list[str]) -> None:
    """The exit code is 5; one line has the command that starts an agent."""
    ended = cli(*arguments, "--url", "http://127.0.0.1:9")
    assert (ended.code, ended.out) == (5, "")
    assert "Start an agent with 'synapse-agent serve --plugins DIR', or name another with --url" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_an_agent_that_was_killed() -> None:
    """The line names its address, not the default one alone, and what to do."""
    origin = "the default, since the agent served here at http://127.0.0.1:8123 was killed"
    refused = ClientConnectionError("No connection", outcome="not_sent")
    assert failure(refused, About(url="http://127.0.0.1:8000", url_from=origin)).line == (
        f"No connection. The address is {origin}: start that agent again, or name another with --url; "
        "'synapse-agent doctor' checks the connection."
    )


def test_a_proxy_that_is_not_there(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is about the proxy, not about an agent to start, and shows no password."""
    monkeypatch.setenv("http_proxy", "http://user:pa55@127.0.0.1:9")
    ended = cli("list", "--url", "http://agent.invalid")
    assert (ended.code, ended.out) == (5, "")
    assert "through the proxy 127.0.0.1:9: " in ended.err
    assert "add the agent's host to NO_PROXY" in ended.err
    assert "serve" not in ended.err
    assert "pa55" not in ended.err


def test_an_agent_that_does_not_answer_in_time(cli, silent: str) -> None:
    """The exit code is 6."""
    ended = cli("list", "--url", silent, "--timeout", "0.3")
    assert (ended.code, ended.out) == (6, "")
    assert "Allow more time with --timeout" in ended.err


@pytest.mark.usefixtures("known")
def test_a_wrong_token(cli) -> None:
    """The exit code is 4; the line has the token's source, but not the token."""
    ended = cli("list", "--token", "wrong-secret")
    assert (ended.code, ended.out) == (4, "")
    assert "It came from --token. Pass the agent's token with --token-file" in ended.err
    assert "wrong-secret" not in ended.err
    assert "wrong-secret" not in cli("list", "--token", "wrong-secret", "--verbose").err


def test_no_token_at_all(cli, tools_agent: EmbeddedAgent) -> None:
    """The exit code is 4."""
    assert cli("list", "--url", tools_agent.base_url).code == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["list", "--color"],
            "No such option: --color. 'synapse-agent list --help' shows the usage.",
        ),
        (["get"], "Missing argument 'LOOKUP'. 'synapse-agent get --help' shows the usage."),
        (["lost"], "No such command 'lost'. Did you mean 'list'? 'synapse-agent --help' shows the usage."),
        (["jobs", "lost"], "'logs', 'list'? 'synapse-agent jobs --help' shows the usage."),
        (
            ["list", "--timeout", "soon"],
            "'soon' is not a number. 'synapse-agent list --help' shows the usage.",
        ),
        (
            ["list", "--url", "ftp://x"],
            "must look like https://agent.example.com, not 'ftp://x'. (It came from --url.)",
        ),
        (["list", "--timeout", "nan"], "finite (None for no limit), not nan."),
        (["list", "--token", "two words", "--token-file", "x"], "Use either --token or --token-file."),
        (["list", "--agent", "lab", "--url", "http://x"], "Use either --agent or --url."),
        (["list", "--token-file", "/no/such"], "Pass another with --token-file."),
        (["run", "a@1", "go", "--params", "{"], "Use an object such as '{\"epochs\": 10}', @FILE, or - for stdin."),
        (["run", "a@1", "go", "--params", "[1]"], "--params is JSON, but not an object."),
        (["run", "a@1", "go", "--params", '{"a": NaN}'], "NaN is not JSON"),
        (["run", "a@1", "go", "--params", "@/no/such"], "No such file or directory. Pass another as --params @FILE."),
        (["run", "a@1", "go", "-p", "epochs"], "--param 'epochs' is invalid. Use KEY=VALUE, such as epochs=10."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_call(cli, arguments: list[str], said: str) -> None:
    """The exit code is 2; one line has the right form."""
    ended = cli(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert ended.err.startswith("synapse-agent: ")
    assert ended.err.count("It came from") == said.count("It came from")
    assert len(ended.err.splitlines()) == 1


def test_options_may_stand_before_the_command(cli, tools_agent: EmbeddedAgent) -> None:
    """Options after the command take precedence."""
    before = ["--url", tools_agent.base_url, "--token", "wrong"]
    assert cli(*before, "list").code == 4
    assert cli(*before, "list", "--token", tools_agent.token).code == 0
    assert cli(*before, "jobs", "list", "--token", tools_agent.token).code == 0


def test_it_prints_its_version(cli) -> None:
    """It is the distribution's version, whatever else is on the command line."""
    ended = cli("--version", "list")
    assert (ended.code, ended.out, ended.err) == (0, f"synapse-agent {synapse_sdk.__version__}\n", "")


def test_help_shows_every_command_and_its_options_whole(cli) -> None:
    """Brackets in help texts are shown, and a paragraph fills its lines, however the source breaks it."""
    whole = cli("--help")
    assert whole.code == 0
    for name in ("serve", "demo", "health", "list", "get", "create", "delete", "run", "debug", "jobs", "doctor", "use"):
        assert f"│ {name} " in whole.out
    assert "[default: the cores it may use" in " ".join(cli("serve", "--help").out.replace("│", "").split())
    assert not [name for name, each in command().commands.items() if "\n" in each.help.replace("\n\n", "")]


@pytest.mark.usefixtures("known")
def test_a_reader_that_leaves_early_is_no_error() -> None:
    """`synapse-agent list | head -0` prints no error."""
    command = f"{sys.executable} -m synapse_agent list | head -c 0; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.usefixtures("known")
def test_client_commands_load_nothing_of_the_agent() -> None:
    """They import no web framework, pydantic or YAML; without a terminal not even Rich, which httpx would import."""
    code = """
import sys
from synapse_agent.cli import main

sys.argv = ["synapse-agent", "health"]
try:
    main()
except SystemExit:
    print(*sys.modules, file=sys.stderr)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    loaded = {name.partition(".")[0] for name in ended.stderr.split()}
    assert {"typer", "synapse_sdk", "httpx"} <= loaded
    assert not loaded & {"starlette", "uvicorn", "pydantic", "uvloop", "yaml", "packaging", "rich", "pygments"}


def test_serve_is_ready_before_it_loads_what_later_requests_need(tmp_path: Path) -> None:
    """A start takes half a second, most of it for imports."""
    (tmp_path / "plugins").mkdir()
    serve = [sys.executable, "-X", "importtime", "-m", "synapse_agent", "serve", "--no-token", "--port", "0"]
    serve += ["--plugins", str(tmp_path / "plugins"), "--data-dir", str(tmp_path / "data")]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("ready http://")
        process.terminate()
        _, log = process.communicate(timeout=30)
    before_ready = log.partition("agent started")[0].splitlines()
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in before_ready}
    assert {"uvicorn", "starlette", "uvloop"} <= loaded
    assert not loaded & {"attr", "httpx", "prometheus_client", "pydantic", "pygments", "rich"}
