"""The main job with the tools that FastMCP makes from the contract: one line per step, with its result."""

import asyncio
import json
import os
import sys
from pathlib import Path

import httpx2
from fastmcp import Client, FastMCP
from fastmcp.exceptions import ToolError

LOOKUP = {"lookup": "workshop@1.0.0"}


def report(step, outcome):
    print(step, json.dumps(outcome), sep="\t")


async def main(contract):
    headers = {"Authorization": os.environ["SYNAPSE_AGENT_TOKEN"]}
    agent = httpx2.AsyncClient(base_url=os.environ["SYNAPSE_AGENT_URL"], headers=headers, timeout=60)
    server = FastMCP.from_openapi(contract, client=agent, mcp_component_fn=allow_text)
    async with agent, Client(server) as client:
        await releases(client)
        await runs(client)
        await jobs(client)
        await call(client, "delete_plugin_release", **LOOKUP)
        report("deleted", await error_of(client, "get_plugin_release", **LOOKUP))


def allow_text(route, tool):
    """Remove the output schema of tools whose answer is text: FastMCP declares one, but returns no such output."""
    if route.operation_id in ("get_job_logs", "stream_job_logs"):
        tool.output_schema = None


async def call(client, tool, **arguments):
    """Call a tool and return its structured content, or else its text."""
    result = await client.call_tool(tool, arguments)
    content = result.structured_content
    if content is None:
        return result.content[0].text if result.content else None
    return content["result"] if set(content) == {"result"} else content


async def error_of(client, tool, **arguments):
    try:
        await call(client, tool, **arguments)
    except ToolError as error:
        found = [name for name in ("release_not_found", "job_not_found") if name in str(error)]
        return [404 if "404" in str(error) else None, *found]


async def releases(client):
    created = await call(client, "create_plugin_release", plugin="workshop", version="1.0.0")
    report("create", [created["plugin"], created["version"]])
    found = await call(client, "get_plugin_release", **LOOKUP)
    report("get", [found["plugin"], found["version"]])
    pages = [await call(client, "list_plugin_releases", category=name) for name in ("custom", "none")]
    report("list", [page["count"] for page in pages])


async def runs(client):
    report("run", await call(client, "run_plugin_release", **LOOKUP, body={"action": "count", "params": {"to": 2}}))
    legacy = {"action": "echo", "params": {"value": "legacy"}, "key_of_its_own": {"deep": [1, None]}}
    report("legacy", await call(client, "run_plugin_release", **LOOKUP, body=legacy))
    config = {"actions": {"greet": {"entrypoint": "hello:greet"}}}
    modules = {"hello": "def greet(name):\n    return f'Hello, {name}'\n"}
    body = {"action": "greet", "params": {"name": "Ada"}, "config": config, "modules": modules}
    report("debug", await call(client, "run_debug_plugin_release", **body))


async def jobs(client):
    background = {"Prefer": "respond-async", "body": {"action": "count", "params": {"to": 2}, "job_id": "counted"}}
    await call(client, "run_plugin_release", **LOOKUP, **background)
    stream = await call(client, "stream_job_logs", job_id="counted")
    events = [json.loads(line[len("data: ") :]) for line in stream.splitlines() if line.startswith("data: ")]
    report("stream", [event["message"] for event in events if event["type"] == "log"] + [events[-1]["status"]])
    record = await call(client, "get_job", job_id="counted")
    report("job", [record["status"], record["progress"]["current"], record["result"]])
    report("logs", await call(client, "get_job_logs", job_id="counted"))
    waiting = {"action": "wait", "params": {"seconds": 60}, "job_id": "waiting"}
    await call(client, "run_plugin_release", **LOOKUP, body=waiting)
    report("stop", (await call(client, "stop_job", job_id="waiting"))["status"])
    await call(client, "delete_job", job_id="counted")
    report("forgotten", await error_of(client, "get_job", job_id="counted"))


asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
