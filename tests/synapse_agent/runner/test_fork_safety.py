"""Each package that the agent imports ahead by itself works in forked runs.

The packages are real; `.ci/long` tests those that take long to install.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from parameters import parameter

from synapse_agent.problems import Problem
from synapse_agent.runner.local import LocalRunner
from synapse_agent.runner.processes import fork_safe
from synapse_agent.runner.processes.sandbox import probed

pytestmark = pytest.mark.anyio


class Tried(NamedTuple):
    """A package: its requirement, its module, and an expression that uses it in a run."""

    requirement: str
    modules: tuple[str, ...]
    use: str


# Libraries with thread pools use them: for matrices of this size, OpenBLAS and OpenMP start theirs.
TRIED = {
    "numpy": Tried("numpy", ("numpy",), "float((numpy.ones((600, 600)) @ numpy.ones((600, 600))).sum())"),
    "pandas": Tried("pandas", ("pandas",), "pandas.DataFrame({'a': [1, 2]}).groupby('a').size().sum()"),
    "scipy": Tried("scipy", ("scipy.linalg", "scipy.stats"), "scipy.linalg.eigh(numpy.eye(300))[0].sum()"),
    "sklearn": Tried(
        "scikit-learn",
        ("sklearn.linear_model", "sklearn.ensemble"),
        "sklearn.ensemble.RandomForestClassifier(8, n_jobs=2, random_state=1).fit(X, Y).score(X, Y)",
    ),
    "matplotlib": Tried("matplotlib", ("matplotlib.pyplot",), "figure()"),
    "PIL": Tried("pillow", ("PIL.Image",), "PIL.Image.new('RGB', (64, 64)).resize((8, 8)).size[0]"),
    "cv2": Tried("opencv-python-headless", ("cv2",), "cv2.GaussianBlur(numpy.ones((900, 900)), (9, 9), 0).sum()"),
    "torch": Tried("torch\nnumpy", ("torch",), "(torch.ones(900, 900) @ torch.ones(900, 900)).sum().item()"),
    "pyarrow": Tried("pyarrow", ("pyarrow", "pyarrow.compute"), "pyarrow.compute.sum(pyarrow.array([1, 2])).as_py()"),
    "pydantic": Tried("pydantic", ("pydantic",), "pydantic.TypeAdapter(int).validate_python('3')"),
    "requests": Tried("requests", ("requests",), "requests.get(URL).text"),
    "httpx": Tried("httpx", ("httpx",), "httpx.get(URL).text"),
    "lxml": Tried("lxml", ("lxml.etree",), "lxml.etree.fromstring('<a><b/></a>').tag"),
    "synapse_sdk": Tried("synapse-sdk", ("synapse_sdk",), "synapse_sdk.__name__"),
}
SHORT = ("numpy", "pandas")
SOURCE = """
    import importlib, os, random, sys
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    MODULES = {modules}
    there = [name in sys.modules for name in MODULES]

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"answered")

        def log_message(self, *_):
            pass

    def figure():
        from pathlib import Path
        import matplotlib
        matplotlib.use("agg")
        import matplotlib.pyplot
        matplotlib.pyplot.plot([1, 2])
        matplotlib.pyplot.title("$x^2$")
        matplotlib.pyplot.savefig(Path.home() / "figure.png")
        Path(matplotlib.get_cachedir(), "written").touch()
        return (Path.home() / "figure.png").stat().st_size > 1000

    def act():
        names = globals()
        for name in MODULES:
            names[name.partition(".")[0]] = importlib.import_module(name) and sys.modules[name.partition(".")[0]]
        if "numpy" in sys.modules:
            import numpy
            names["numpy"] = numpy
            names["X"], names["Y"] = numpy.arange(200.0).reshape(100, 2), numpy.arange(100) % 2
        server = HTTPServer(("127.0.0.1", 0), Answer)
        Thread(target=server.serve_forever, daemon=True).start()
        names["URL"] = f"http://127.0.0.1:{{server.server_port}}/"
        used = eval({use!r})
        drawn = [random.random()]
        if "numpy" in sys.modules:
            drawn += [float(numpy.random.random()), float(numpy.random.default_rng().random())]
        if "torch" in sys.modules:
            drawn.append(sys.modules["torch"].rand(1).item())
        return {{"there": there, "used": str(used), "drawn": drawn}}
    """


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packages")


@pytest.fixture
async def installing(data: Path) -> AsyncIterator[LocalRunner]:
    """Return a runner with this machine's settings; uv installs from its cache."""
    runner = LocalRunner(data, sandbox=probed(wanted=True))
    yield runner
    await runner.close()


def test_each_package_on_the_list_is_tried() -> None:
    """A new name needs a line above."""
    assert set(TRIED) == fork_safe.PACKAGES


@pytest.mark.parametrize("package", [parameter(each, is_long=each not in SHORT) for each in TRIED])
async def test_a_package_works_after_the_fork(installing, write_plugin, package):
    """Concurrent runs use its threads; their random numbers differ, and they print nothing."""
    tried = TRIED[package]
    source = SOURCE.format(modules=tried.modules, use=tried.use)
    plugin = write_plugin(source, requirements=tried.requirement, preload=list(tried.modules))
    plain = write_plugin(source, requirements=tried.requirement, preload=False)
    expected = await plain.run(installing)
    plugin.heard.log = b""
    runs = [await plugin.run(installing)]
    assert b"synapse:" not in plugin.heard.log, plugin.heard.log.decode()
    runs += await asyncio.gather(*(plugin.run(installing) for _ in range(6)))
    assert [run["there"] for run in runs] == [[True] * len(tried.modules)] * 7
    assert not any(expected["there"])
    assert {run["used"] for run in runs} == {expected["used"]}
    drawn = [number for run in runs for number in run["drawn"]]
    assert len(set(drawn)) == len(drawn)
    assert b"DeprecationWarning" not in plugin.heard.log


LIBRARY = sorted(fork_safe.LIBRARY)


async def test_modules_of_python_s_own_work_after_the_fork(installing, write_plugin):
    """All modules on the list are tested together, each in its typical use."""
    source = f"""
        import sys
        there = [name in sys.modules for name in {LIBRARY!r}]

        def act():
            import asyncio, concurrent.futures, logging, multiprocessing, sqlite3, ssl, subprocess, tempfile, uuid
            logging.warning("logged")
            with concurrent.futures.ThreadPoolExecutor(2) as pool, tempfile.TemporaryFile() as file:
                file.write(b"written")
                threads = list(pool.map(abs, [-1, -2]))
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                threads += pool.map(abs, [-3])
            database = sqlite3.connect(":memory:")
            return {{
                "there": all(there),
                "threads": threads,
                "loop": asyncio.run(asyncio.sleep(0, 4)),
                "database": database.execute("SELECT 5").fetchone()[0],
                "tls": ssl.create_default_context().verify_mode == ssl.CERT_REQUIRED,
                "child": subprocess.run(["echo", "6"], capture_output=True, text=True).stdout,
                "drawn": [str(uuid.uuid4()), tempfile.mktemp()],
            }}
        """
    plugin = write_plugin(source, preload=LIBRARY)
    runs = await asyncio.gather(*(plugin.run(installing) for _ in range(3)))
    drawn = [each for run in runs for each in run.pop("drawn")]
    assert len(set(drawn)) == len(drawn)
    expected = {"there": True, "threads": [1, 2, 3], "loop": 4, "database": 5, "tls": True, "child": "6\n"}
    assert runs == [expected] * 3
    assert plugin.heard.log == b"WARNING:root:logged\n" * 3


async def test_threads_are_as_many_as_the_variables_allow(installing, write_plugin):
    """The agent sets the variables before the import, since later they have no effect."""
    source = """
        import threadpoolctl

        def act():
            import numpy
            numpy.ones((600, 600)) @ numpy.ones((600, 600))
            return sorted({pool["num_threads"] for pool in threadpoolctl.threadpool_info()})
        """
    for threads in (1, min(2, os.cpu_count() or 1)):
        env = {"OPENBLAS_NUM_THREADS": str(threads)}
        plugin = write_plugin(source, requirements="numpy\nthreadpoolctl", preload=["numpy"], env=env)
        assert await plugin.run(installing) == [threads]


@pytest.mark.parametrize("what", ["always", "error"])
async def test_python_s_warning_of_forks_with_threads_reaches_no_log(data, write_plugin, what):
    """Python 3.12 and later warn, which a plugin may show or turn into an error."""
    source = f"""
        import os, sys, threading, time, warnings
        warnings.simplefilter({what!r})
        process = os.getpid()
        if {{threads}}:
            threading.Thread(target=time.sleep, args=(100,), daemon=True).start()

        def act():
            return [sys.version_info[:2] >= (3, 12), process != os.getpid()]
        """
    runner = LocalRunner(data, sandbox=probed(wanted=True))
    try:
        for threads, requirements in ((True, ""), (False, "pyarrow")):
            given = {"preload": ["pyarrow", "plugin.main"] if requirements else True, "requires": {"python": ">=3.12"}}
            plugin = write_plugin(source.format(threads=threads), requirements=requirements, **given)
            assert [await plugin.run(runner) for _ in range(2)] == [[True, not threads]] * 2
            assert b"DeprecationWarning" not in plugin.heard.log
    except Problem as problem:
        if problem.error_type == "python_not_found":
            pytest.skip("Python 3.12 or later was not found.")
        raise
    finally:
        await runner.close()


@pytest.mark.long
async def test_grpc_is_not_forked_from_once_it_is_initialized(installing, write_plugin):
    """Its threads do not survive a fork; the log of the first run names it."""
    source = """
        import os
        import grpc
        process = os.getpid()
        channel = grpc.insecure_channel("127.0.0.1:1")
        try:
            grpc.channel_ready_future(channel).result(timeout=0.1)
        except grpc.FutureTimeoutError:
            pass

        def act():
            return process == os.getpid()
        """
    plugin = write_plugin(source, requirements="grpcio", preload=True)
    assert [await plugin.run(installing) for _ in range(2)] == [True, True]
    assert plugin.heard.log.count(b"synapse: imports are not shared") == 1
    assert b"gRPC is initialized" in plugin.heard.log
