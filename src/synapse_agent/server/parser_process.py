"""Processes that parse large bodies, so that other callers don't wait: `json.loads` blocks every other thread."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

from synapse_agent.problems import InvalidRequest, Problem
from synapse_agent.runner.base import Params
from synapse_agent.runner.synapse_worker.kernel import yield_to_others
from synapse_agent.server.body_parser import BodyRules, ParsedBody, check_head, parse_body
from synapse_agent.server.validation import Schema
from synapse_agent.util.threads import in_thread

AT_ONCE_BYTES = 64 * 2**10
"""A text of this size is parsed in a few milliseconds, even if it has thousands of keys."""
PROCESSES = 2
_MODULE = "synapse_agent.server.parser_process"
_SECONDS = 600.0
_IDLE_SECONDS = 10.0
_KEPT_BYTES = 4 * 2**20
"""A process ends after a larger text, since Python would keep the memory."""
_DONE = b"done"
_PARSED, _PROBLEM, _INVALID = "parsed", "problem", "invalid"


class BodyParser:
    """Parses the bodies of an agent's requests, large ones in separate processes."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(PROCESSES)
        self._all: set[_ParserProcess] = set()
        self._idle: list[_ParserProcess] = []

    @property
    def pids(self) -> list[int]:
        """The IDs of the current processes."""
        return [process.pid for process in self._all]

    async def parse(self, text: bytes | bytearray, rules: BodyRules, schema: Schema) -> ParsedBody:
        """Parse, check and digest a body; raises `Problem` 400 and 503, and `InvalidRequest`."""
        if len(text) <= AT_ONCE_BYTES:
            return parse_body(text, rules, schema)
        async with self._turns:
            process = self._take()
            try:
                answer = await process.parse(text, rules)
            except BaseException:
                await self._end(process)
                raise
            if len(text) > _KEPT_BYTES:
                await self._end(process)
            else:
                self._give_back(process)
        if isinstance(answer, Exception):
            try:
                raise answer
            finally:
                del answer  # its traceback refers to this frame: a cycle that would keep the body
        return answer

    async def close(self) -> None:
        """Stop the processes."""
        for process in list(self._all):
            await self._end(process)

    def _take(self) -> _ParserProcess:
        if self._idle:
            process = self._idle.pop()
            process.is_idle_since = None
        else:
            process = _ParserProcess()
            self._all.add(process)
        return process

    def _give_back(self, process: _ParserProcess) -> None:
        loop = asyncio.get_running_loop()
        process.is_idle_since = since = loop.time()
        self._idle.append(process)
        loop.call_later(_IDLE_SECONDS, lambda: loop.create_task(self._retire(process, since)))

    async def _retire(self, process: _ParserProcess, since: float) -> None:
        if process.is_idle_since == since and process in self._idle:
            await self._end(process)

    async def _end(self, process: _ParserProcess) -> None:
        self._all.discard(process)
        if process in self._idle:
            self._idle.remove(process)
        await process.close()


class _ParserProcess:
    """A process with a socket to it; body and answer are passed as files in memory."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        self.is_idle_since: float | None = None
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env={name: value for name, value in os.environ.items() if not name.startswith("SYNAPSE_")},
                cwd="/",
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    async def parse(self, text: bytes | bytearray, rules: BodyRules) -> ParsedBody | Problem | InvalidRequest:
        with ExitStack() as stack:
            files = [os.memfd_create(name) for name in ("body", "answer")]
            for file in files:
                stack.callback(os.close, file)
            await in_thread(_write, files[0], pickle.dumps(rules), text)
            try:
                async with asyncio.timeout(_SECONDS):
                    socket.send_fds(self._socket, [b"parse"], files)
                    said = await asyncio.get_running_loop().sock_recv(self._socket, len(_DONE))
            except (TimeoutError, OSError) as error:
                raise _no_parser(str(error) or f"it took more than {_SECONDS:g} s") from error
            if said != _DONE:
                raise _no_parser("its parser process has ended")
            return _parsed(*await in_thread(_read, files[1]))

    async def close(self) -> None:
        """Stop the process."""
        self._socket.close()
        self._process.kill()
        await in_thread(self._process.wait)


def _parsed(small: bytes, params: bytes) -> ParsedBody | Problem | InvalidRequest:
    kind, answer = pickle.loads(small)
    if kind == _PROBLEM:
        return Problem(*answer)
    if kind == _INVALID:
        return InvalidRequest(answer)
    parsed: ParsedBody = answer
    found = parsed.value.get("params") if isinstance(parsed.value, dict) else None
    if isinstance(found, Params):
        return replace(parsed, value={**parsed.value, "params": replace(found, text=params)})
    return parsed


def _no_parser(why: str) -> Problem:
    return Problem(503, "unavailable", f"The body could not be parsed: {why}. Nothing was done.")


def _write(file: int, small: bytes, large: bytes | bytearray) -> None:
    for part in (len(small).to_bytes(8), small, large):
        view = memoryview(part)
        while view:
            view = view[os.write(file, view) :]


def _read(file: int) -> tuple[bytes, bytes]:
    length = int.from_bytes(os.pread(file, 8, 0))
    size = os.fstat(file).st_size - 8 - length
    return os.pread(file, length, 8), os.pread(file, size, 8 + length) if size else b""


def _answer(rules: BodyRules, text: bytes) -> tuple[tuple[str, Any], bytes]:
    """Parse a body; the text of its params, which may be long, is returned separately."""
    try:
        parsed = parse_body(text, rules)
        check_head(parsed.value)
    except Problem as problem:
        return (_PROBLEM, (problem.status, problem.error_type, problem.message)), b""
    except InvalidRequest as error:
        return (_INVALID, error.items), b""
    found = parsed.value.get("params") if isinstance(parsed.value, dict) else None
    if not isinstance(found, Params):
        return (_PARSED, parsed), b""
    head = {**parsed.value, "params": replace(found, text=b"")}
    return (_PARSED, replace(parsed, value=head)), found.text


def main(descriptor: int) -> None:
    """Parse one body after another until the agent closes the socket."""
    yield_to_others()
    gc.disable()  # JSON values have no cycles, and searching for them takes as long as everything else
    with socket.socket(fileno=descriptor) as agent, suppress(ConnectionError):
        while True:
            message, (*files,), _, _ = socket.recv_fds(agent, len(_DONE) + 1, 2)
            if not message:
                return
            rules, text = _read(files[0])
            answer, params = _answer(pickle.loads(rules), text)
            _write(files[1], pickle.dumps(answer), params)
            for file in files:
                os.close(file)
            agent.send(_DONE)


if __name__ == "__main__":
    main(int(sys.argv[1]))
