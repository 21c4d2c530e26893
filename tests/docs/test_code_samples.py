"""The reference page has a curl and an HTTPie command for each operation; here they run against an agent."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from zipfile import ZipFile

import pytest
from contract import CONTRACT

from synapse_agent import EmbeddedAgent
from synapse_agent_api.api.files import put_file_content
from synapse_agent_api.types import File

REPOSITORY = Path(__file__).parents[2]


def _packed(files: dict[str, str]) -> bytes:
    content = BytesIO()
    with ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


ENDLESS = {"stream_events": "5"}
"""Seconds after which Ctrl-C is pressed."""
OPERATIONS = {
    operation["operationId"]: (method, path, operation)
    for path, item in CONTRACT["paths"].items()
    for method, operation in item.items()
    if method != "parameters"
}
SAMPLES = [
    pytest.param(name, sample["source"], id=f"{name}-{sample['label']}")
    for name, (_, _, operation) in OPERATIONS.items()
    for sample in operation.get("x-codeSamples", [])
]
HELLO = sha256(b"hello").hexdigest()
ARCHIVE = _packed({"config.yaml": "code: sampled\n"})
TOOLS = """
curl() { command curl --silent --show-error --fail-with-body --include "$@"; }
http() { $HTTPIE --check-status --ignore-stdin --print=hb "$@"; }
"""
"""Options for tests: show the answer's head, and exit with an error if it is one."""


@pytest.fixture(scope="module")
def sampled_agent() -> Iterator[EmbeddedAgent]:
    """An agent with the example plugins."""
    with EmbeddedAgent(REPOSITORY / "examples" / "plugins", allow_push=True) as agent:
        yield agent


def httpie(words: list[str]) -> tuple[int, str]:
    """Run a command of HTTPie; return its exit status and its output."""
    from httpie.context import Environment  # a quarter of a second, in one of the processes that collect tests
    from httpie.core import main

    out, err = TextIOWrapper(BytesIO()), StringIO()
    status = main(["http", *words], Environment(stdin=None, stdout=out, stdout_isatty=False, stderr=err))
    out.seek(0)
    return int(status), out.read() + err.getvalue()


def test_each_operation_has_a_command_of_curl_and_one_of_httpie() -> None:
    """The order is fixed; a new operation needs both commands, too."""
    labels = {
        name: [sample["label"] for sample in each.get("x-codeSamples", [])] for name, (_, _, each) in OPERATIONS.items()
    }
    assert labels == {name: ["curl", "HTTPie"] for name in OPERATIONS}


@pytest.mark.parametrize(("name", "source"), SAMPLES)
def test_a_command_does_what_its_operation_does(name: str, source: str, sampled_agent: EmbeddedAgent) -> None:
    """Unmodified, it calls exactly that operation and gets one of its successes."""
    if source.startswith("curl") and shutil.which("curl") is None:
        pytest.skip("curl is missing; as root on Debian, .ci/install installs it.")
    # The releases, job and served action that the command uses; some of the commands delete them.
    with sampled_agent.client() as client:
        client.create_plugin_release("my_plugin", "1.0.0")
        client.create_plugin_release("ml_model", "1.2.0")
        if "/jobs/" in source:
            client.run_plugin_release("my_plugin@1.0.0", "train", {"epochs": 2}, job_id="job_abc123")
        if "/serve_applications/" in source:
            client.run_plugin_release("ml_model@1.2.0", "predict", {"data": [1, 2, 3]})
        put_file_content.sync(HELLO, client=client.api, body=File(BytesIO(b"hello")))
        put_file_content.sync(sha256(ARCHIVE).hexdigest(), client=client.api, body=File(BytesIO(ARCHIVE)))
    method, path, operation = OPERATIONS[name]
    url = re.escape("$SYNAPSE_AGENT_URL") + re.sub(r"\\{\w+\\}", "[^/ ]+", re.escape(path)) + r'["?]'
    assert re.search(url, source)
    assert (method == "delete") is ("DELETE" in source)
    environment = os.environ | {
        "SYNAPSE_AGENT_URL": sampled_agent.base_url,
        "SYNAPSE_AGENT_TOKEN": sampled_agent.token,
        "FILE_ID": HELLO,
        "ARCHIVE_ID": sha256(ARCHIVE).hexdigest(),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    # HTTPie runs in this process, which is faster than its imports: bash only prints its words. Ctrl-C needs a process.
    in_process = source.startswith("http") and name not in ENDLESS
    environment["HTTPIE"] = r"printf %s\0" if in_process else "command http"
    command = ["bash", "-c", TOOLS + source]
    if name in ENDLESS:
        command = ["timeout", "--preserve-status", "--signal=INT", ENDLESS[name], *command]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    code, out = httpie(done.stdout.split("\0")[:-1]) if in_process else (done.returncode, done.stdout)
    assert code == 0 or name in ENDLESS, out + done.stderr
    statuses = re.findall(r"^HTTP/1\.1 (\d{3})", out, re.M)
    assert [status for status in statuses if status != "100"][-1] in {
        status for status in operation["responses"] if status.startswith("2")
    }
