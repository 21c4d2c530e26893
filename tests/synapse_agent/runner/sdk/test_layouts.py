"""Plugins with the layouts of the SDK's `synapse plugin create`, on an agent, over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ValidationError

PLUGINS = Path(__file__).parent / "plugins"


@pytest.fixture(scope="module")
def client(data_dir: Path, sdk_python: Path, sdk_environ: dict[str, str]) -> Iterator[AgentClient]:
    """Yield a client of an agent that has cached the plugins, each with the Python that it requests."""
    assert sdk_python
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_CONSTRAINT", sdk_environ["UV_CONSTRAINT"])
        with EmbeddedAgent(plugins=PLUGINS, data_dir=data_dir) as agent, agent.client() as client:
            for code in ("word-count", "label-check", "box-hints", "box-merge"):
                client.create_plugin_release(code, "0.1.0")
            yield client


@pytest.mark.parametrize(
    ("lookup", "action", "params", "result"),
    [
        (
            "word-count@0.1.0",
            "main",
            {"text": "To be or not to be", "language": "en"},
            {"words": {"to": 2, "be": 2, "or": 1, "not": 1}, "options": {"language": "en"}},
        ),
        ("label-check@0.1.0", "validate", {"data": ["Car", "tree"]}, {"valid": True, "errors": []}),
        (
            "label-check@0.1.0",
            "validate",
            {"data": ["Car", "tree"], "strict_mode": True},
            {"valid": False, "errors": ["unknown label: Car"]},
        ),
        (
            "box-hints@0.1.0",
            "pre_annotate",
            {"data": [[90, 90, 90], [90, 10, 20], [90, 90, 30]], "threshold": 40},
            {"annotations": [{"box": [1, 1, 2, 2]}]},
        ),
        (
            "box-merge@0.1.0",
            "post_annotate",
            {"data": [[8, 9], [0, 2], [3, 5]], "gap": 1},
            {"boxes": [[0, 5], [8, 9]]},
        ),
    ],
)
def test_a_plugin_of_each_category_runs_unchanged(
    client: AgentClient, lookup: str, action: str, params: dict[str, Any], result: Any
) -> None:
    """The category custom has a function, the other three have classes with a method named like the action."""
    assert client.run_plugin_release(lookup, action, params=params) == result


def test_params_that_do_not_fit_are_named(client: AgentClient) -> None:
    """The message is the same as for any plugin."""
    with pytest.raises(ValidationError, match=r"'data' is missing. It takes \(\*\*kwargs, data\)"):
        client.run_plugin_release("box-merge@0.1.0", "post_annotate", params={"gap": 1})


ANSWERS = {
    "GET /projects/1/": {"id": 1, "data_collection": 2},
    "GET /data_collections/2/": {"id": 2, "file_specifications": [{"name": "hints"}]},
    "GET /sdk/tasks/": {"count": 1, "next": None, "previous": None, "results": [{"id": 7}]},
    "GET /tasks/7/": {
        "id": 7,
        "data_unit": {
            "files": {
                "image": {"is_primary": True, "url": "http://files/a.png", "file_name_original": "a.png"},
                "hints": {"url": "http://files/a.json", "file_name_original": "a.json"},
            }
        },
    },
    "PUT /tasks/7/annotate_task_data/": {},
}


class Backend(ThreadingHTTPServer):
    """A backend with one task, which records its requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.received: list[tuple[str, str | None, Any]] = []


class Exchange(BaseHTTPRequestHandler):
    """One request."""

    server: Backend

    def answer(self) -> None:
        """Answer known requests with 200, all others with 404."""
        known = f"{self.command} {self.path.partition('?')[0]}"
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token = self.headers.get("Synapse-Access-Token")
        self.server.received.append((known, token, json.loads(body) if body else None))
        answer = json.dumps(ANSWERS.get(known, {"detail": "not found"})).encode()
        self.send_response(200 if known in ANSWERS else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PUT = answer

    def log_message(self, *_: Any) -> None:
        """Do nothing."""


@pytest.fixture
def backend() -> Iterator[Backend]:
    """Run a backend."""
    with Backend() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


TO_TASK = {"name": "hints", "project": 1, "agent": 1, "method": "file", "target_specification_name": "hints"}


def test_an_sdk_action_works_on_the_backend_of_its_plugins_env(client: AgentClient, backend: Backend) -> None:
    """The action `to_task` of the pre-annotation layout sends several requests with the SDK's own clients."""
    env = {"SYNAPSE_HOST": backend.address, "SYNAPSE_ACCESS_TOKEN": "of-the-plugin"}
    plugin = str(PLUGINS / "synapse-box-hints-plugin")
    job = client.run_debug_plugin_release("to_task", params=TO_TASK, plugin_path=plugin, config={"env": env})
    assert job["method"] == "job"
    result = client.wait_for_job(job["job_id"], deadline=60)
    assert result["message"] == "to_task completed. success=1, failed=0"
    assert client.get_job(job["job_id"])["progress"] == {"current": 100, "total": 100, "step": "finalize"}
    hints = {
        "task": 7,
        "image": {"name": "a.png", "url": "http://files/a.png"},
        "hints": {"name": "a.json", "url": "http://files/a.json"},
    }
    sent = {"action": "submit", "data": hints}
    assert backend.received[-1] == ("PUT /tasks/7/annotate_task_data/", "Token of-the-plugin", sent)
