"""The main job with the Python client that OpenAPI Generator makes: one line per step, with its result."""

import json
import os
import uuid

from synapse import ApiClient, Configuration
from synapse.api import JobsApi, PluginReleasesApi
from synapse.exceptions import ApiException
from synapse.models.create_plugin_release_request import CreatePluginReleaseRequest
from synapse.models.debug_run_request import DebugRunRequest
from synapse.models.run_body import RunBody
from synapse.models.run_request import RunRequest

token = {"agentToken": os.environ["SYNAPSE_AGENT_TOKEN"]}
client = ApiClient(Configuration(host=os.environ["SYNAPSE_AGENT_URL"], api_key=token))
releases_api, jobs_api = PluginReleasesApi(client), JobsApi(client)
LOOKUP = "workshop@1.0.0"


def report(step, outcome):
    print(step, json.dumps(outcome), sep="\t")


def run(body, **headers):
    return releases_api.run_plugin_release(LOOKUP, RunBody(body), **headers)


def error_of(call, *arguments):
    try:
        call(*arguments)
    except ApiException as error:
        return [error.status, error.data.detail.actual_instance.error_type]


def releases():
    wanted = CreatePluginReleaseRequest(plugin="workshop", version="1.0.0")
    created = releases_api.create_plugin_release(wanted)
    report("create", [created.plugin, created.version])
    found = releases_api.get_plugin_release(LOOKUP)
    report("get", [found.plugin, found.version])
    report("list", [releases_api.list_plugin_releases(category=name).count for name in ("custom", "none")])


def runs():
    report("run", run(RunRequest(action="count", params={"to": 2}), idempotency_key=str(uuid.uuid4())))
    payload = {"action": "echo", "params": {"value": "legacy"}, "key_of_its_own": {"deep": [1, None]}}
    report("legacy", run(RunRequest.from_dict(payload)))
    config = {"actions": {"greet": {"entrypoint": "hello:greet"}}}
    modules = {"hello": "def greet(name):\n    return f'Hello, {name}'\n"}
    body = DebugRunRequest(action="greet", params={"name": "Ada"}, config=config, modules=modules)
    report("debug", releases_api.run_debug_plugin_release(body))


def jobs():
    body = RunRequest(action="count", params={"to": 2}, job_id="counted")
    accepted = releases_api.run_plugin_release_with_http_info(LOOKUP, RunBody(body), prefer="respond-async")
    assert accepted.status_code == 202
    stream = jobs_api.stream_job_logs("counted")
    events = [json.loads(line[len("data: ") :]) for line in stream.splitlines() if line.startswith("data: ")]
    report("stream", [event["message"] for event in events if event["type"] == "log"] + [events[-1]["status"]])
    record = jobs_api.get_job("counted")
    report("job", [record.status, record.progress.current, record.result])
    report("logs", jobs_api.get_job_logs("counted"))
    run(RunRequest(action="wait", params={"seconds": 60}, job_id="waiting"))
    report("stop", jobs_api.stop_job("waiting").status)
    jobs_api.delete_job("counted")
    report("forgotten", error_of(jobs_api.get_job, "counted"))


releases()
runs()
jobs()
releases_api.delete_plugin_release(LOOKUP)
report("deleted", error_of(releases_api.get_plugin_release, LOOKUP))
