"""Plays cases with a program in another language, which makes the calls; README.md describes the protocol."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from cases import Case, ExpectedCall, expand
from faults import FaultServer
from judge import Ending

_PATIENCE = 10.0


class Program:
    """A program that reads commands from standard input and answers on standard output, both as lines of JSON."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=_PATIENCE)
        assert self._process.returncode == 0

    def open(self, server: FaultServer, case: Case) -> None:
        """Make the program create a case's client."""
        options = dict(case.client)
        self._ask({"open": {**options, "base_url": server.base_url + options.pop("base_path", "")}})

    def call(self, expected: ExpectedCall, server: FaultServer) -> Ending:
        """Make the program call a method; return how the call ended."""
        time.sleep(expected.pause)
        begun = time.monotonic()
        answer = self._ask({"call": {"method": expected.method, "arguments": expand(dict(expected.arguments))}})
        while "about_to_send" in answer:
            server.expect_request()
            answer = self._ask({"go": True})
        return Ending(**answer, seconds=time.monotonic() - begun)

    def close(self) -> None:
        """Make the program close its client."""
        self._ask({"close": True})

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the program ended at {command}"
        answer: dict[str, Any] = json.loads(line)
        return answer
