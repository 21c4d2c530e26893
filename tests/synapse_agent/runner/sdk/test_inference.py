"""The public SDK's classes for Ray Serve, which the agent's own workers serve without Ray."""

from __future__ import annotations

import http.server
import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

REQUIREMENTS = "synapse-sdk\nfastapi\npyjwt\n"
TEMPLATE = """
    from typing import Any

    from fastapi import FastAPI
    from pydantic import BaseModel
    from synapse_sdk.plugins import BaseServeDeployment

    app = FastAPI()

    class InferenceInput(BaseModel):
        values: list[float]
        scale: float = 1.0

    class InferenceDeployment(BaseServeDeployment):
        action_name = "inference"
        app = app

        async def _get_model(self, model_info: dict[str, Any]) -> Any:
            print("loading", model_info["id"])
            return float((model_info["path"] / "weight.txt").read_text())

        @app.post("/")
        async def infer(self, data: InferenceInput) -> dict[str, Any]:
            BODY
"""
"""What `synapse plugin create` writes for the category neural_net, with its gaps filled."""


@pytest.fixture
def write_deployment(write_plugin: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that writes a plugin whose action `act` serves the template's class."""

    def write(body: str, *, source: str = TEMPLATE, **config: Any) -> Any:
        serve = {"concurrency": 2}
        actions = {"act": {"entrypoint": "plugin.main:InferenceDeployment", "method": "serve", "serve": serve}}
        return write_plugin(source.replace("BODY", body), requirements=REQUIREMENTS, actions=actions, **config)

    return write


async def test_the_template_s_inference_is_served(sdk_runner, write_deployment):
    """The body is all params, or their `json`; the model of the only parameter checks it."""
    plugin = write_deployment('return {"sum": sum(data.values) * data.scale, "kept": id(self)}')
    first = await plugin.run(sdk_runner, {"values": [1, 2], "scale": 2})
    second = await plugin.run(sdk_runner, {"json": {"values": [1, 2]}, "method": "post"})
    assert (first["sum"], second["sum"], first["kept"] == second["kept"]) == (6, 3, True)
    problem = await plugin.problem(sdk_runner, {"values": ["x"]})
    assert problem.error_type == "invalid_params"
    assert "values" in problem.message


@pytest.fixture
def backend() -> Iterator[tuple[str, list[str]]]:
    """Run a backend that has the model 7, and record its requests."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("weight.txt", "2.5")
    asked: list[str] = []

    class Backend(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            is_model = "/models/" in self.path
            address = f"http://127.0.0.1:{server.server_port}/model.zip"
            body = json.dumps({"id": 7, "file": address}).encode() if is_model else archive.getvalue()
            self.send_response(200)
            self.send_header("Content-Type", "application/json" if is_model else "application/zip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


async def test_a_call_s_model_comes_from_the_backend_once(sdk_runner, write_deployment, backend):
    """`get_model()` makes the SDK download the model that the param `model` names, and keeps it."""
    address, asked = backend
    env = {"SYNAPSE_PLUGIN_RUN_HOST": address, "SYNAPSE_ACCESS_TOKEN": "a-token"}
    plugin = write_deployment('return {"y": sum(data.values) * await self.get_model()}', env=env)
    for _ in range(2):
        assert await plugin.run(sdk_runner, {"model": 7, "json": {"values": [1, 3]}}) == {"y": 10.0}
    assert len([path for path in asked if "/models/7" in path]) == 1
    assert b"loading 7" in plugin.heard.log
    problem = await plugin.problem(sdk_runner, {"values": [1]})
    assert problem.error_type == "invalid_params"
    assert "`model`" in problem.message


async def test_what_needs_ray_serve_is_refused_by_name(sdk_runner, write_deployment):
    """Only Ray Serve calls a plugin's own `infer_batch()`."""
    source = TEMPLATE + "\n        async def infer_batch(self, requests):\n            return requests\n"
    plugin = write_deployment("return {}", source=source)
    problem = await plugin.problem(sdk_runner, {"values": []})
    assert (problem.status, problem.error_type) == (422, "invalid_plugin")
    assert "`infer_batch()`" in problem.message
