"""Runs the shell commands of a page as its reader does: one after the other, in a folder and a home of their own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

LONGEST = 60
BACKGROUND = re.compile(r"^(synapse-agent serve.*) &(?: *#.*)?$", re.M)
NEWEST_JOB = (
    """$(synapse-agent jobs list --json | python -c 'import json, sys; print(json.load(sys.stdin)[0]["job_id"])')"""
)
READY = "ready http"


class Shell:
    """A reader's shell. Exported variables are kept for the next blocks; an agent runs until the end."""

    def __init__(self, folder: Path, links: dict[str, Path], *, agent_url: str, agent_token: str) -> None:
        self._folder = folder
        self.port = free_port()
        self._served: list[subprocess.Popen[str]] = []
        self._exports = folder / ".exports"
        self._exports.touch()
        (folder / ".local" / "state" / "synapse-agent").mkdir(parents=True, mode=0o700)  # an agent has run here before
        (folder / "token").write_text(agent_token, encoding="utf-8")
        (folder / ".secret").write_text("a-secret\n", encoding="utf-8")
        for name, target in links.items():
            (folder / name).symlink_to(target)
        self._replaced = {
            "make setup &&": "true &&",  # already done before the tests
            "synapse-agent demo": "true",  # tests/test_distribution.py runs it, from the wheels
            # Ctrl-C after 10 s; without `--foreground`, `timeout` sends it twice.
            "synapse-agent dev": "timeout --foreground --preserve-status --signal INT 10 synapse-agent dev",
            "synapse-agent serve": f"synapse-agent serve --port {self.port}",
            "--port 8000": f"--port {self.port}",
            "http://127.0.0.1:8000": f"http://127.0.0.1:{self.port}",
            "https://agent.example.com": agent_url,
            "your-token": agent_token,
            "/run/secrets/": f"{folder}/.secret #",
            "/etc/synapse-agent/token": f"{folder}/token",
            "JOB_ID": NEWEST_JOB,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the agents that were served; each must exit normally."""
        for process in self._served:
            os.killpg(process.pid, signal.SIGTERM)
        for process in self._served:
            process.communicate(timeout=LONGEST)
        codes = [process.returncode for process in self._served]
        assert not any(codes), f"agents ended with {codes}"

    def run(self, text: str) -> str:
        """Run a block and return its output; for a block that serves an agent, the output until `ready`."""
        for shown, real in self._replaced.items():
            text = text.replace(shown, real)
        if served := BACKGROUND.search(text):
            self._run(text[: served.start()])
            self._serve(served[1])
            return self._run(text[served.end() :])
        return self._serve(text) if "synapse-agent serve" in text else self._run(text)

    def _run(self, text: str) -> str:
        script = f"source {self._exports}\n{text}\nexport -p > {self._exports}\n"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            **self._surroundings(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LONGEST,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}"
        return str(done.stdout)

    def exports(self) -> dict[str, str]:
        """Return the exported variables that clients read."""
        return dict(re.findall(r'^declare -x (SYNAPSE_\w+)="(.*)"$', self._exports.read_text(encoding="utf-8"), re.M))

    def _serve(self, text: str) -> str:
        before, separator, command = re.sub(r"\\\n *", " ", text.rstrip()).rpartition("\n")
        assert command.startswith("synapse-agent serve"), "`synapse-agent serve` must be a block's last command"
        script = f"source {self._exports}\n{before}{separator}export -p > {self._exports}\nexec {command}"
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            **self._surroundings(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        watch = threading.Timer(LONGEST, process.kill)
        watch.start()
        assert process.stdout is not None
        line = process.stdout.readline()
        watch.cancel()
        self._served.append(process)
        assert line.startswith(READY), f"{text}\n{line}"
        return line

    def _surroundings(self) -> dict[str, object]:
        kept = {name: os.environ[name] for name in ("LANG", "SSL_CERT_FILE") if name in os.environ}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        # `synapse-agent open` starts a browser: here one that does nothing.
        environ = {**kept, "PATH": path, "HOME": str(self._folder), "BROWSER": "true"}
        return {"cwd": self._folder, "env": environ, "text": True}


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
