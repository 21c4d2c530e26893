"""Plugins and agents for the tests of the agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

from synapse_agent import EmbeddedAgent

TOOLS = {
    "config.yaml": """
        code: tools
        version: 1.0.0
        name: Tools
        category: custom
        description: Actions that do what a test asks for.
        actions:
          echo: {entrypoint: "plugin.tools:echo", method: local, description: Gives back what it gets.}
          served_echo: {entrypoint: "plugin.tools:echo", method: serve}
          fail: {entrypoint: "plugin.tools:fail", method: task}
          fail_once: {entrypoint: "plugin.tools:fail_once", method: local}
          wait: {entrypoint: "plugin.tools:wait", method: local}
          wait_in_background: {entrypoint: "plugin.tools:wait", method: job}
          fail_in_background: {entrypoint: "plugin.tools:fail", method: job}
          large: {entrypoint: "plugin.tools:large", method: local}
          talk: {entrypoint: "plugin.tools:talk", method: local}
          note: {entrypoint: "plugin.tools:note", method: local}
          narrate: {entrypoint: "plugin.tools:narrate", method: job}
          narrate_fast: {entrypoint: "plugin.tools:narrate_fast", method: job}
          bar: {entrypoint: "plugin.tools:bar", method: job}
          linger: {entrypoint: "plugin.tools:linger", method: job}
          shout: {entrypoint: "plugin.tools:shout", method: job}
        """,
    "plugin/__init__.py": "",
    "plugin/tools.py": """
        import sys
        import time
        from pathlib import Path


        def echo(value=None):
            return value


        def fail(message="no"):
            raise ValueError(message)


        def fail_once(path):
            if Path(path).exists():
                return "done"
            Path(path).touch()
            raise ValueError("not yet")


        def wait(path, seconds=20):
            end = time.monotonic() + seconds
            Path(path + ".started").touch()
            while not Path(path).exists():
                if time.monotonic() > end:
                    raise TimeoutError(path)
                time.sleep(0.005)
            return "waited"


        def large(size):
            return "x" * size


        def talk(context):
            context.set_progress(1, 4)
            print("spoken, ünd")
            sys.stdout.flush()
            sys.stdout.buffer.write(bytes([0xFF, 10]))
            sys.stdout.flush()
            return "said"


        def narrate(context, path=None, lines=2):
            for number in range(lines):
                print(f"line {number}")
                context.set_progress(number + 1, lines)
                context.log("line", {"number": number})
            if path:
                wait(path)
            print("no end", end="")


        def narrate_fast(lines):
            for number in range(lines):
                print(f"line {number}")


        def bar():
            for share in range(0, 101, 10):
                print(f"{share}%", end="\\r" if share < 100 else "\\n", flush=True)
            print("done")


        def linger(path):
            import signal
            import subprocess

            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            Path(path).write_text(str(child.pid))
            time.sleep(1000)


        def shout(size):
            print("x" * size)


        def note():
            return Path("note.txt").read_text()
        """,
    "note.txt": "as it was cached",
}

WritePlugin = Callable[..., Path]


@pytest.fixture(scope="session")
def write_plugin() -> WritePlugin:
    """Write a plugin: `write_plugin(folder, files)`, or without files one that returns its `code` and `version`."""

    def write(
        folder: Path, files: Mapping[str, str] | None = None, *, code: str = "small", version: str = "1.0.0"
    ) -> Path:
        config = f"code: {code}\nversion: {version}\nactions: {{go: {{entrypoint: 'main:go', method: local}}}}\n"
        default = {"config.yaml": config, "main.py": f"def go():\n    return '{code}@{version}'\n"}
        for name, text in (default if files is None else files).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text), encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory, write_plugin: WritePlugin) -> Path:
    """A plugins folder with `tools` 1.0.0; tests add plugins with other names."""
    folder = tmp_path_factory.mktemp("plugins")
    write_plugin(folder / "tools", TOOLS)
    return folder


@pytest.fixture(scope="session")
def agent(plugins: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAgent]:
    """An agent that all tests share; each test uses its own names.

    Actions may write to the tests' temporary folders, so that tests can observe them.
    """
    allowed = (tmp_path_factory.getbasetemp(),)
    limits = {"request_timeout": 1.0, "max_body_bytes": 100_000, "max_concurrent_runs": 4}
    with EmbeddedAgent(plugins, allow_write=allowed, **limits) as running:
        yield running


@pytest.fixture(scope="session")
def client_of() -> Iterator[Callable[[EmbeddedAgent], httpx.Client]]:
    """Return a function that makes plain HTTP clients, which send an agent's token."""
    clients: list[httpx.Client] = []

    def make(agent: EmbeddedAgent) -> httpx.Client:
        headers = {"Authorization": agent.token}
        clients.append(httpx.Client(base_url=agent.base_url, headers=headers, timeout=60, trust_env=False))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture(scope="session")
def http(agent: EmbeddedAgent, client_of: Callable[[EmbeddedAgent], httpx.Client]) -> httpx.Client:
    """A plain HTTP client of the shared agent."""
    return client_of(agent)


@pytest.fixture(scope="session")
def tools(http: httpx.Client) -> str:
    """The path of the release `tools` on the shared agent."""
    http.post("/plugin_releases/", json={"plugin": "tools", "version": "1.0.0"}).raise_for_status()
    return "/plugin_releases/tools@1.0.0"
