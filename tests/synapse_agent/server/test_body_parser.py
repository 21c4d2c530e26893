"""Parsing a body has the same result whether it is small, or so large that another process parses it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from synapse_agent.jobs.submission import RunSpec
from synapse_agent.plugins.config import PluginConfig
from synapse_agent.problems import InvalidRequest, Problem
from synapse_agent.runner.base import Params
from synapse_agent.server.body_parser import LARGEST_HEAD, BodyRules, ParsedBody
from synapse_agent.server.parser_process import AT_ONCE_BYTES, BodyParser
from synapse_agent.server.validation import Schema

RUN = Schema({"$ref": "#/components/schemas/RunRequest"})
DEBUG = Schema({"$ref": "#/components/schemas/DebugRunRequest"})
PATH = {"lookup": "p@1"}
SIZES = [10, 2 * AT_ONCE_BYTES, 20 * AT_ONCE_BYTES]

pytestmark = pytest.mark.anyio


@pytest.fixture
async def parser() -> AsyncIterator[BodyParser]:
    """A parser, closed at the end."""
    parser = BodyParser()
    yield parser
    await parser.close()


async def parse(parser: BodyParser, body: Any, schema: Schema = RUN) -> ParsedBody:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await parser.parse(bytearray(text), BodyRules(schema.definition, is_lenient=False, path=PATH), schema)


def plain_digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@pytest.mark.parametrize("size", SIZES)
async def test_a_body_is_read_alike_whatever_its_size(parser: BodyParser, size: int) -> None:
    """Params keep their order and values, and match digests that earlier agents stored."""
    params = {"z": "x" * size, "a": [1, 2.5, None, "\ud83d"], "num_cpus": 2, "memory": "1GiB", "num_gpus": {"no": 1}}
    body = {"params": params, "action": "go", "requirements": ["six"], "job_id": "one"}
    parsed = await parse(parser, body)
    sent = parsed.value["params"]
    assert json.loads(sent.text) == params
    assert [*json.loads(sent.text)] == [*params]
    assert sent.resources == {"num_cpus": 2, "memory": "1GiB"}
    assert {**parsed.value, "params": params} == body
    assert parsed.digest == plain_digest([PATH, body])


@pytest.mark.parametrize("size", SIZES)
async def test_the_content_of_a_run_does_not_depend_on_how_it_was_written(parser: BodyParser, size: int) -> None:
    """The order of keys and whitespace don't matter. Below a MiB, the digest is that of earlier agents."""
    params = {"b": "é" * size, "a": 1}
    one = await parse(parser, {"action": "go", "params": params})
    other = await parse(parser, json.dumps({"params": dict(sorted(params.items())), "action": "go"}, indent=8).encode())
    assert content(one) == content(other)
    assert content(one) != content(await parse(parser, {"action": "go", "params": {**params, "a": 2}}))
    if size < SIZES[-1]:
        assert content(one) == plain_digest(["p@1", {}, "go", params, [], None])


def content(parsed: ParsedBody) -> str:
    config = PluginConfig.from_mapping({"code": "p", "actions": {"go": "m:go"}})
    workspace: Any = None
    spec = RunSpec(
        action=config.action("go"), config=config, workspace=workspace, release="p@1", identities=parsed.identities
    )
    return spec.content()


@pytest.mark.parametrize("filler", [0, 2 * AT_ONCE_BYTES])
@pytest.mark.parametrize(
    ("body", "error"),
    [
        ('{"action": "go", "params": {"a": 1e999}}', "1e999 is too large"),
        ('{"action": "go", "params": {"a": NaN}}', "NaN is not JSON"),
        ('{"action": 7, "params": {}}', "valid string"),
        ('{"params": {}}', "required"),
        ('{"action": "go"', "is not JSON"),
        ('{"action": "go", "params": [1]}', "valid dictionary"),
    ],
)
async def test_errors_of_a_body_do_not_depend_on_its_size(
    parser: BodyParser, filler: int, body: str, error: str
) -> None:
    """The answer is 400 or 422, with the same message for every size."""
    with pytest.raises((Problem, InvalidRequest), match=error):
        await parse(parser, (" " * filler + body).encode())


async def test_only_params_and_the_text_of_modules_may_be_large(parser: BodyParser) -> None:
    """The agent itself has to check the rest."""
    many = {f"key-{number}": number for number in range(LARGEST_HEAD // 10)}
    with pytest.raises(InvalidRequest, match="at most 1048576 bytes besides params and modules"):
        await parse(parser, {"action": "go", "config": many}, DEBUG)
    with pytest.raises(InvalidRequest, match="at most 5000 modules"):
        await parse(parser, {"action": "go", "modules": {f"m{number}": "" for number in range(50_000)}}, DEBUG)
    parsed = await parse(parser, {"action": "go", "params": many, "modules": {"m": "#" * LARGEST_HEAD}}, DEBUG)
    assert isinstance(parsed.value["params"], Params)
    assert len(parsed.identities["modules"]) < 100


async def test_a_process_that_is_gone_is_no_harm(parser: BodyParser) -> None:
    """Its body is 503; the next one gets a new process."""
    body = {"action": "go", "params": {f"key-{number}": number for number in range(200_000)}}
    parsing = asyncio.create_task(parse(parser, body))
    await asyncio.sleep(0.1)
    for pid in parser.pids:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(Problem, match="could not be parsed") as refused:
        await parsing
    assert refused.value.status == 503
    assert (await parse(parser, {"action": "go", "params": {"text": "x" * 2 * AT_ONCE_BYTES}})).value["action"] == "go"
