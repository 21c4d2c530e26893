"""The main job with the client that stock openapi-python-client makes: one line per step, with its result."""

import json
import os
import uuid

from synapse import AuthenticatedClient
from synapse.api.jobs import delete_job, get_job, get_job_logs, stop_job, stream_job_logs
from synapse.api.plugin_releases import (
    create_plugin_release,
    delete_plugin_release,
    get_plugin_release,
    list_plugin_releases,
    run_debug_plugin_release,
    run_plugin_release,
)
from synapse.models import (
    CreatePluginReleaseRequest,
    DebugRunRequest,
    ErrorDetail,
    Job,
    LegacyRunPayload,
    RunRequest,
)

client = AuthenticatedClient(os.environ["SYNAPSE_AGENT_URL"], os.environ["SYNAPSE_AGENT_TOKEN"], prefix="")
LOOKUP = "workshop@1.0.0"


def report(step, outcome):
    print(step, json.dumps(outcome), sep="\t")


def error_of(response):
    detail = response.parsed.detail
    return [int(response.status_code), detail.error_type if isinstance(detail, ErrorDetail) else detail]


def releases():
    created = create_plugin_release.sync(client=client, body=CreatePluginReleaseRequest("workshop", "1.0.0"))
    report("create", [created.plugin, created.version])
    found = get_plugin_release.sync(LOOKUP, client=client)
    report("get", [found.plugin, found.version])
    report("list", [list_plugin_releases.sync(client=client, category=name).count for name in ("custom", "none")])


def runs():
    body = RunRequest.from_dict({"action": "count", "params": {"to": 2}})
    report("run", run_plugin_release.sync(LOOKUP, client=client, body=body, idempotency_key=str(uuid.uuid4())))
    payload = {"action": "echo", "params": {"value": "legacy"}, "key_of_its_own": {"deep": [1, None]}}
    report("legacy", run_plugin_release.sync(LOOKUP, client=client, body=LegacyRunPayload.from_dict(payload)))
    source = {
        "config": {"actions": {"greet": {"entrypoint": "hello:greet"}}},
        "modules": {"hello": "def greet(name):\n    return f'Hello, {name}'\n"},
    }
    body = DebugRunRequest.from_dict({"action": "greet", "params": {"name": "Ada"}, **source})
    report("debug", run_debug_plugin_release.sync(client=client, body=body))


def jobs():
    body = RunRequest.from_dict({"action": "count", "params": {"to": 2}, "job_id": "counted"})
    accepted = run_plugin_release.sync(LOOKUP, client=client, body=body, prefer="respond-async")
    assert isinstance(accepted, Job)
    stream = stream_job_logs.sync(accepted.job_id, client=client)
    events = [json.loads(line[len("data: ") :]) for line in stream.splitlines() if line.startswith("data: ")]
    report("stream", [event["message"] for event in events if event["type"] == "log"] + [events[-1]["status"]])
    record = get_job.sync("counted", client=client)
    report("job", [record.status, record.progress.current, record.result])
    report("logs", get_job_logs.sync("counted", client=client))
    body = RunRequest.from_dict({"action": "wait", "params": {"seconds": 60}, "job_id": "waiting"})
    run_plugin_release.sync(LOOKUP, client=client, body=body)
    report("stop", stop_job.sync("waiting", client=client).status)
    delete_job.sync_detailed("counted", client=client)
    report("forgotten", error_of(get_job.sync_detailed("counted", client=client)))


releases()
runs()
jobs()
delete_plugin_release.sync_detailed(LOOKUP, client=client)
report("deleted", error_of(get_plugin_release.sync_detailed(LOOKUP, client=client)))
