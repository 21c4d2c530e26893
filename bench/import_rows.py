"""The cost of a run whose action imports a package, compared with the plain import in the same environment.

`python -m bench imports` measures these rows alone. BENCH_BASE=COMMIT names the commit whose warm runs are compared.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import environments
from bench.agent_rows import descendants
from bench.agents import Agent, agent, memory
from bench.environments import HOME, Environment
from bench.rows import Row, Values
from bench.subjects.payload import TOKEN
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ClientError

SUBJECTS = ("ours", "plain_import", "alone", "one_run", "before")
GROUP = "imports"
ROUNDS = 25
PLAIN_ROUNDS = 7
AHEAD_SECONDS = 60
"""Time limit for the agent to preload what the first runs imported."""
COMPILE_SECONDS = 120
SIDE_BY_SIDE = 8
OPTIONS = ("--max-concurrent-runs", str(SIDE_BY_SIDE))
LARGE, PRINTING = "large", "printing"
_PRINTING = "import os\ndef go():\n    for _ in range(2**14):\n        os.write(1, (b'x' * 63 + b'\\n') * 2**10)\n"
_LARGE = (
    "import numpy, time\nHELD = numpy.ones(300 * 2**17)\ndef go(seconds=0):\n    time.sleep(seconds)\n    return 1\n"
)


@dataclass(frozen=True)
class Import:
    """What an action imports."""

    code: str
    statement: str
    requirements: str
    most: float
    """Of the plain import."""


IMPORTS = (
    Import("library", "import socket, ssl, decimal, csv", "", 0.20),
    Import("numpy", "import numpy", "numpy", 0.06),
    Import("pandas", "import pandas", "pandas", 0.03),
    Import("sklearn", "import sklearn.linear_model", "scikit-learn", 0.02),
    Import("torch", "import torch", "torch\nnumpy", 0.02),
)


def measured(wanted: Sequence[str]) -> list[tuple[Row, Values]]:
    """Return the rows that contain one of these words, or all without words, with their results."""
    chosen = [row for row in ROWS if not wanted or GROUP in wanted or any(word in row.name for word in wanted)]
    if not chosen:
        return []
    home = environments.prepare_agent()["agent"]
    with tempfile.TemporaryDirectory(dir=HOME, prefix="import-plugins-") as plugins:
        _write_plugins(Path(plugins))
        with agent(home, "--plugins", plugins, *OPTIONS) as ours, AgentClient(ours.url, TOKEN) as client:
            bench = _Bench(home, ours, client)
            found = [(row, values) for row in chosen if (values := bench.of(row))]
    return found


def _write_plugins(folder: Path) -> None:
    plugins = {each.code: (f"{each.statement}\ndef go():\n    return 1\n", each.requirements) for each in IMPORTS}
    plugins["again"] = (plugins["pandas"][0], plugins["pandas"][1])
    plugins["nothing"] = ("def go():\n    return 1\n", "")
    plugins[LARGE] = (_LARGE, "numpy")
    plugins[PRINTING] = (_PRINTING, "")
    for code, (source, requirements) in plugins.items():
        (folder / code).mkdir()
        preload = "preload: true\n" if code == LARGE else ""
        go = "{entrypoint: 'main:go', method: job}" if code == PRINTING else "'main:go'"
        config = f"code: {code}\nversion: 1.0.0\n{preload}actions: {{go: {go}}}\n"
        (folder / code / "config.yaml").write_text(config)
        (folder / code / "main.py").write_text(source)
        (folder / code / "requirements.txt").write_text(requirements)


class _Bench:
    """One agent, and its measurements."""

    def __init__(self, home: Environment, ours: Agent, client: AgentClient) -> None:
        self.home = home
        self.ours = ours
        self.client = client

    def of(self, row: Row) -> Values:
        """Measure a row; skip packages that can't be installed here, with a message."""
        print(f"{row.name} …", file=sys.stderr, flush=True)
        try:
            return row.measure({"bench": self}, "")  # type: ignore[dict-item]
        except ClientError as error:
            print(f"{row.name}: left out, {error.message.splitlines()[0]}", file=sys.stderr)
            return {}

    def prepare(self, code: str) -> None:
        """Cache a release, and run it until the agent imports ahead."""
        self.client.create_plugin_release(code, "1.0.0")
        end = time.monotonic() + AHEAD_SECONDS
        while self.run(code) > 0.005 and time.monotonic() < end:
            time.sleep(0.2)
        time.sleep(1)

    def run(self, code: str, **params: float) -> float:
        """Run a release's action, and return the seconds that it has imported."""
        job = f"{code}-{time.monotonic_ns()}"
        self.client.run_plugin_release(f"{code}@1.0.0", "go", params=params, job_id=job)
        return float((self.client.get_job(job)["timings"] or {})["import"])

    def p50(self, code: str, rounds: int = ROUNDS) -> float:
        """Return the milliseconds of a warm run of one caller."""
        return statistics.median(
            timed(lambda: self.client.run_plugin_release(f"{code}@1.0.0", "go")) for _ in range(rounds)
        )

    def plain(self, statement: str) -> float:
        """Return the milliseconds of `python -c` in the environment with the packages, after they were compiled."""
        for python in Path(self.ours.data, "environments").glob("*/bin/python"):
            with tempfile.TemporaryDirectory() as compiled:
                env = {"PATH": os.environ["PATH"], "PYTHONPYCACHEPREFIX": compiled}
                plain = partial(subprocess.run, [python, "-c", statement], env=env, capture_output=True)
                if plain().returncode == 0:
                    return statistics.median(timed(plain) for _ in range(PLAIN_ROUNDS))
        raise SystemExit(f"No environment can {statement!r}")


def timed(call: Callable[[], object]) -> float:
    """Return the milliseconds of a call."""
    begun = time.perf_counter()
    call()
    return (time.perf_counter() - begun) * 1e3


def warm(what: Import) -> Callable[..., Values]:
    """Return the measure of one caller's warm run."""

    def measure(homes: dict[str, _Bench], _: str) -> Values:
        bench = homes["bench"]
        bench.prepare(what.code)
        return {"ours": bench.p50(what.code), "plain_import": bench.plain(what.statement)}

    return measure


def busy(homes: dict[str, _Bench], _: str) -> Values:
    """Measure the same runs alone, and with a process on each core that computes: their sum."""
    bench = homes["bench"]
    there = [each.code for each in IMPORTS if _is_cached(bench.client, each.code)]
    alone = sum(bench.p50(code) for code in there)
    with computing():
        return {"ours": sum(bench.p50(code) for code in there), "alone": alone}


def _is_cached(client: AgentClient, code: str) -> bool:
    return bool(client.list_plugin_releases({"plugin": code})["count"])


@contextmanager
def computing() -> Iterator[None]:
    """Keep every core busy."""
    with ExitStack() as stack:
        for _ in range(os.cpu_count() or 1):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


def side_by_side(homes: dict[str, _Bench], _: str) -> Values:
    """Measure the memory of runs of a library of 300 MB, with the process that they are forked from."""
    bench = homes["bench"]
    bench.prepare(LARGE)

    def held(runs: int) -> float:
        with ThreadPoolExecutor(runs) as pool:
            calls = [pool.submit(bench.run, LARGE, seconds=4) for _ in range(runs)]
            time.sleep(2)
            processes = {pid for keeper in bench.ours.keepers() for pid in (keeper, *descendants(keeper))}
            sizes = [memory(pid, "Pss") for pid in processes]
            for call in calls:
                call.result()
        return sum(size for size in sizes if size) / 1e6

    return {"one_run": held(1), "ours": held(SIDE_BY_SIDE)}


def second_release(homes: dict[str, _Bench], _: str) -> Values:
    """Measure the first run of another release in an environment with bytecode."""
    bench = homes["bench"]
    bench.prepare("pandas")
    compiled, count, end = Path(bench.ours.data, "bytecode"), -1, time.monotonic() + COMPILE_SECONDS
    while (now := sum(1 for _ in compiled.rglob("*.pyc"))) != count and time.monotonic() < end:
        count = now
        time.sleep(5)
    bench.client.create_plugin_release("again", "1.0.0")
    ours = timed(lambda: bench.client.run_plugin_release("again@1.0.0", "go"))
    return {"ours": ours, "plain_import": bench.plain("import pandas")}


@contextmanager
def both(home: Environment) -> Iterator[dict[str, Agent]]:
    """Start this agent and that of an earlier commit; yield none if no commit is named."""
    base = os.environ.get("BENCH_BASE")
    if base is None:
        print("Left out: no earlier commit to compare with. Set BENCH_BASE=COMMIT.", file=sys.stderr)
        yield {}
        return
    with tempfile.TemporaryDirectory(dir=HOME, prefix="import-plugins-") as plugins:
        _write_plugins(Path(plugins))
        options = ("--plugins", plugins, *OPTIONS)
        with (  # new ones: the other agent still compiles what was imported
            agent(environments.prepare_base(base), *options) as before,
            agent(home, *options) as ours,
        ):
            yield {"ours": ours, "before": before}


def prints(homes: dict[str, _Bench], _: str) -> Values:
    """Measure the CPU time of the agent's process while a job prints a gigabyte, on both agents in turn."""
    with both(homes["bench"].home) as agents:
        times: dict[str, list[float]] = {name: [] for name in agents}
        for _ in range(3):
            for name, each in agents.items():
                times[name].append(_printing(each))
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def _printing(agent: Agent) -> float:
    with AgentClient(agent.url, TOKEN, timeout=600) as client:
        client.create_plugin_release(PRINTING, "1.0.0")
        before = _cpu_seconds(agent.pid)
        job = client.run_plugin_release(f"{PRINTING}@1.0.0", "go")
        client.wait_for_job(job["job_id"], deadline=300)
        return _cpu_seconds(agent.pid) - before


def _cpu_seconds(pid: int) -> float:
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def against_base(callers: int) -> Callable[..., Values]:
    """Return the measure of runs without imports, alternating between this agent and that of an earlier commit."""

    def measure(homes: dict[str, _Bench], _: str) -> Values:
        rates: dict[str, list[float]] = {}
        with both(homes["bench"].home) as agents:
            for each in agents.values():
                _rate(each.url, callers)
            for _ in range(7):
                for name, each in agents.items():
                    rates.setdefault(name, []).append(_rate(each.url, callers))
        scale = (lambda seconds: 1 / seconds) if callers > 1 else (lambda seconds: seconds * 1e3)
        return {name: scale(statistics.median(seconds)) for name, seconds in rates.items()}

    return measure


def _rate(url: str, callers: int) -> float:
    """Return the duration of each of many runs in seconds, with a number of concurrent ones."""
    with AgentClient(url, TOKEN) as client, ThreadPoolExecutor(callers) as pool:
        client.create_plugin_release("nothing", "1.0.0")
        for _ in range(5):
            client.run_plugin_release("nothing@1.0.0", "go")
        time.sleep(0.3)
        times = 25 * callers
        if callers == 1:
            runs = [timed(lambda: client.run_plugin_release("nothing@1.0.0", "go")) for _ in range(times)]
            return statistics.median(runs) / 1e3
        begun = time.perf_counter()
        list(pool.map(lambda _: client.run_plugin_release("nothing@1.0.0", "go"), range(4 * times)))
        return (time.perf_counter() - begun) / (4 * times)


def _row(name: str, unit: str, measure: Callable[..., Values], **more: object) -> Row:
    return Row(name, unit, measure, **more)  # type: ignore[arg-type]


ROWS = [
    *(_row(f"imports: {each.statement}", "ms", warm(each), ratios={"plain_import": each.most}) for each in IMPORTS),
    _row("imports: the sum of these, all cores busy", "ms", busy, ratios={"alone": 3.0}),
    _row("imports: memory of 8 runs of 300 MB", "MB", side_by_side, ratios={"one_run": 1.5}),
    _row("imports: first run of a second release, pandas", "ms", second_release, ratios={"plain_import": 1.2}),
    _row("imports: nothing, p50", "ms", against_base(1), ratios={"before": 1.05}),
    _row("imports: a job that prints 1 GB, CPU of the agent", "s", prints, ratios={"before": 1.05}),
    _row("imports: nothing, 4 callers", "/s", against_base(4), ratios={"before": 0.95}, more_is_better=True),
]
