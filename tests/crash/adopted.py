"""The phase `adopted`: the agent is killed during jobs, which continue without it; each ends once and whole."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from harness import Broken, Runner
from lasting import LongAgent, expected_log
from waiting import until

PAUSE_SECONDS = 60.0
_JOBS = 2
"""The number of running jobs at each kill."""


class AdoptedJobs:
    """An agent that is killed during jobs."""

    def __init__(self, root: Path, *, seed: int, runner: Runner) -> None:
        self.agent = LongAgent(root, options=tuple(runner.options), environ=runner.environ, keeping=runner.nodes)
        self.kills: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._numbers = 0

    def kill(self, *, twice: bool, pause: float = 0.0) -> None:
        """Kill the agent during some jobs, or twice in a row; raise `Broken` if anything is wrong afterwards.

        Some of the jobs end without an agent, within the pause before its next start.
        """
        names = [self._begin() for _ in range(_JOBS)]
        time.sleep(self._random.uniform(0, 0.5))
        self.agent.kill()
        self.kills["running"] += 1
        if twice:
            self._kill_while_it_starts()
        if self._random.random() < 0.5 or pause:
            self.agent.let_end(names[0])
        time.sleep(pause)
        self.agent.start()
        for name in names:
            self.agent.let_end(name)
        for name in names:
            self._check(name, self.agent.over(name))
        try:
            until(lambda: not self._left())
        except AssertionError as late:
            raise Broken(f"Left over: {self._left()}") from late

    def _left(self) -> list[Path | int]:
        """List what keepers have of jobs, and their processes."""
        return [*self.agent.kept(), *self.agent.keepers()]

    def _kill_while_it_starts(self) -> None:
        """Kill the next agent at some instant of its start, or soon after it."""
        process = self.agent.launch()
        time.sleep(self._random.uniform(0, 3.0))
        process.kill()
        process.communicate()
        self.kills["starting"] += 1

    def _begin(self) -> str:
        self._numbers += 1
        name = f"job-{self._numbers}"
        self.agent.run(name, key=f"key-{self._numbers}", least=self._random.choice([0, 100, 300]))
        return name

    def _check(self, name: str, record: dict[str, Any]) -> None:
        _expect(record["status"] == "SUCCEEDED", f"{name} is {record['status']}: {record['error']}")
        steps = record["result"]["steps"]
        lines = self.agent.lines(name)
        _expect(lines == expected_log(steps), f"The log of {name} is not whole.")
        numbers = [event["data"]["number"] for event in record["events"]]
        _expect(numbers == list(range(max(1, steps - 19), steps + 1)), f"The events of {name} are {numbers}")
        begun = (self.agent.work / name / "begun").read_text()
        _expect(begun == "once\n", f"{name} ran {begun.count('once')} times.")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)
