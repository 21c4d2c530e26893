"""Load an agent with everything at once for some minutes, and report what grew: `make soak MINUTES=10`."""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ClientError, HTTPError

sys.path.append(str(Path(__file__).parents[1] / "helpers"))
import keepers

CALLERS = 6
ROUND_SECONDS = 15.0
SHORT_ROUND_SECONDS = 1.0
QUIET_SECONDS = 1.0
BUSY_SECONDS = 10.0
"""How long an agent may still be busy after the calls, for example compiling releases."""
MEMORY_SLACK = 1.05
"""The ratio of memory to that after the warm-up that still counts as flat: allocators fluctuate."""
CONFIG = """
code: {code}
version: 1.0.0
actions:
  echo: {{entrypoint: "load:echo"}}
  fail: {{entrypoint: "load:fail"}}
  large: {{entrypoint: "load:large"}}
  leave: {{entrypoint: "load:leave"}}
  talk: {{entrypoint: "load:talk", method: job}}
  hang: {{entrypoint: "load:hang", method: job}}
"""
CODE = """
import subprocess
import time

def echo(value):
    return value

def fail():
    raise ValueError("as asked")

def large(size):
    return "x" * size

def leave():
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
    return "left"

def talk(context, lines):
    for number in range(lines):
        print("line", number)
        context.set_progress(number, lines)
        context.log("line", number)
    return lines

def hang():
    time.sleep(1000)
"""


@dataclass(frozen=True)
class Sample:
    """What an agent uses while nothing runs; memory in MB."""

    seconds: float
    calls: int
    descriptors: int
    processes: int
    zombies: int
    agent_mb: float
    others_mb: float


class Caller:
    """Makes calls of every kind, and checks the result of each."""

    def __init__(self, base_url: str, seed: int, counts: Counter[str]) -> None:
        self._client = AgentClient(base_url, max_retries=0)
        self._random = random.Random(seed)
        self._counts = counts
        self._lookup = "load@1.0.0"
        self._own = f"own_{seed}"
        self._calls: dict[Callable[[], None], int] = {
            self._echo: 50,
            self._fail: 10,
            self._large: 4,
            self._leave: 3,
            self._debug: 4,
            self._cache: 4,
            self._look: 15,
            self._follow: 5,
            self._stop: 3,
            self._wrong: 5,
        }

    def call_until(self, end: float) -> None:
        """Make calls until the end."""
        while time.monotonic() < end:
            (call,) = self._random.choices(list(self._calls), list(self._calls.values()))
            call()
            self._counts[call.__name__.strip("_")] += 1

    def _run(self, action: str, **params: Any) -> Any:
        return self._client.run_plugin_release(self._lookup, action, params=params)

    def _echo(self) -> None:
        value = self._random.random()
        _expect(self._run("echo", value=value) == value)

    def _fail(self) -> None:
        _expect(_error(lambda: self._run("fail")) == "action_failed")

    def _large(self) -> None:
        size = self._random.randint(1000, 500_000)
        _expect(len(self._run("large", size=size)) == size)

    def _leave(self) -> None:
        _expect(self._run("leave") == "left")

    def _debug(self) -> None:
        config = {"actions": {"go": {"entrypoint": "m:go"}}}
        modules = {"m": "def go(n):\n    return n + 1\n"}
        _expect(self._client.run_debug_plugin_release("go", params={"n": 1}, config=config, modules=modules) == 2)

    def _cache(self) -> None:
        self._client.create_plugin_release(self._own, "1.0.0")
        _expect(self._client.run_plugin_release(f"{self._own}@1.0.0", "echo", params={"value": 1}) == 1)
        self._client.delete_plugin_release(f"{self._own}@1.0.0")

    def _look(self) -> None:
        _expect(self._client.get_plugin_release(self._lookup)["plugin"] == "load")
        releases, total = self._client.list_plugin_releases(list_all=True)
        _expect(len(releases) >= 1 and total >= 1)
        _expect(len(self._client.list_jobs(limit=10)) <= 10)

    def _follow(self) -> None:
        lines = self._random.randint(1, 300)
        job_id = self._run("talk", lines=lines)["job_id"]
        events = list(self._client.tail_job_logs(job_id))
        _expect([event["message"] for event in events if event["type"] == "log"] == [f"line {n}" for n in range(lines)])
        _expect(self._client.wait_for_job(job_id) == lines)
        _expect(len(self._client.get_job_logs(job_id).splitlines()) == lines)

    def _stop(self) -> None:
        job_id = self._run("hang")["job_id"]
        _expect(self._client.stop_job(job_id)["status"] == "STOPPED")

    def _wrong(self) -> None:
        _expect(_error(lambda: self._client.get_plugin_release("nobody@1")) == "release_not_found")
        _expect(_error(lambda: self._run("nothing")) == "unknown_action")
        _expect(_error(lambda: self._run("echo", other=1)) == "invalid_params")


def main() -> int:
    """Load, sample and judge; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--short", type=int, metavar="ROUNDS", help="rounds of a second, too short to judge memory")
    arguments = parser.parse_args()
    rounds = arguments.short or max(4, round(arguments.minutes * 60 / (ROUND_SECONDS + QUIET_SECONDS)))
    seconds = SHORT_ROUND_SECONDS if arguments.short else ROUND_SECONDS
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="soak-") as root, served(Path(root)) as (process, base_url):
        samples = soak(process.pid, Path(root, "data"), base_url, counts, rounds, seconds)
    print("calls:", ", ".join(f"{name} {count}" for name, count in counts.most_common()))
    faults = judge(samples[max(1, rounds // 5) :], with_memory=not arguments.short)
    print("\n".join(faults) or "nothing grew")
    return 1 if faults else 0


def soak(pid: int, data: Path, base_url: str, counts: Counter[str], rounds: int, seconds: float) -> list[Sample]:
    """Call from several threads, and measure the agent in a pause after each round."""
    with AgentClient(base_url) as client:
        client.create_plugin_release("load", "1.0.0")
    callers = [Caller(base_url, seed, counts) for seed in range(CALLERS)]
    began = time.monotonic()
    samples = []
    print(*(field.name for field in fields(Sample)), sep="\t")
    with ThreadPoolExecutor(CALLERS) as pool:
        for _ in range(rounds):
            end = time.monotonic() + seconds
            for done in [pool.submit(caller.call_until, end) for caller in callers]:
                done.result()
            time.sleep(QUIET_SECONDS)
            samples.append(look_at_rest(pid, data, began, counts.total()))
            print(*(f"{value:g}" for value in astuple(samples[-1])), sep="\t", flush=True)
    return samples


def judge(samples: Sequence[Sample], *, with_memory: bool) -> list[str]:
    """Report what grew between the first and the last third of the samples after the warm-up."""
    third = max(1, len(samples) // 3)
    first, last = samples[:third], samples[-third:]
    faults = [f"{sample.zombies} zombies after {sample.seconds:.0f} s" for sample in samples if sample.zombies]
    for name, slack in (("descriptors", 0), ("processes", 0)):
        before, after = (max(getattr(sample, name) for sample in part) for part in (first, last))
        if after > before + slack:
            faults.append(f"{name} grew from {before} to {after}")
    for name in ("agent_mb", "others_mb") if with_memory else ():
        before, after = (statistics.median(getattr(sample, name) for sample in part) for part in (first, last))
        if after > before * MEMORY_SLACK:
            faults.append(f"{name} grew from {before:.1f} to {after:.1f}")
    return faults


def look_at_rest(pid: int, data: Path, began: float, calls: int) -> Sample:
    """Measure as soon as nothing runs, or after the longest wait."""
    give_up_at = time.monotonic() + BUSY_SECONDS
    while True:
        was_busy = keepers.running(data)
        sample = look(pid, data, time.monotonic() - began, calls)
        if (not was_busy and not keepers.running(data)) or time.monotonic() > give_up_at:
            return sample
        time.sleep(0.2)  # a new process replaces the one that ran


def look(pid: int, data: Path, seconds: float, calls: int) -> Sample:
    """Measure what an agent and its processes use."""
    family = keepers.family(data)
    states = [_status(each).get("State", "Z") for each in family]
    return Sample(
        seconds=round(seconds),
        calls=calls,
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        processes=len(family),
        zombies=sum(state.startswith("Z") for state in states),
        agent_mb=_memory(pid),
        others_mb=round(sum(map(_memory, family)), 1),
    )


@contextmanager
def served(root: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run an agent as a separate process."""
    plugins = root / "plugins"
    for code in ("load", *(f"own_{seed}" for seed in range(CALLERS))):
        folder = plugins / code
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(CONFIG.format(code=code))
        (folder / "load.py").write_text(CODE)
    command = [sys.executable, "-m", "synapse_agent", "serve", "--plugins", str(plugins), "--no-token"]
    command += ["--data-dir", str(root / "data"), "--port", "0"]
    with (root / "stderr").open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout
        try:
            yield process, process.stdout.readline().split()[1]
        finally:
            process.terminate()
            process.communicate(timeout=60)


def _expect(holds: bool) -> None:
    if not holds:
        raise AssertionError(f"Under load, in {threading.current_thread().name}, an answer was wrong.")


def _error(call: Callable[[], Any]) -> str | None:
    try:
        call()
    except HTTPError as error:
        return error.error_type
    except ClientError as error:
        raise AssertionError(f"Under load: {error}") from error
    return None


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _memory(pid: int) -> float:
    """Return a process's memory with its proportional share of shared pages (PSS), in MB."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return round(next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0) / 1024, 1)


if __name__ == "__main__":
    sys.exit(main())
