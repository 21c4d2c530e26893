"""A slow installation does not delay runs whose environment exists."""

from __future__ import annotations

import io
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

from synapse_agent import EmbeddedAgent

BACKEND = """
    import time, zipfile
    from pathlib import Path

    def build_wheel(folder, settings=None, metadata=None):
        while not Path({go!r}).exists():
            time.sleep(0.02)
        name = "slow_package_for_a_test-1.0-py3-none-any.whl"
        info = "slow_package_for_a_test-1.0.dist-info"
        with zipfile.ZipFile(Path(folder, name), "w") as wheel:
            about = "Metadata-Version: 2.1\\nName: slow-package-for-a-test\\nVersion: 1.0\\n"
            wheel.writestr(f"{{info}}/METADATA", about)
            wheel.writestr(f"{{info}}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
            wheel.writestr(f"{{info}}/RECORD", "")
        return name
    """

WAITS = """
import time
from pathlib import Path

def go():
    while not Path({end!r}).exists():
        time.sleep(0.02)
"""


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file that the build of a package waits for; the agents of this test find that package."""
    packages = tmp_path / "packages"
    packages.mkdir()
    files = {
        "backend.py": dedent(BACKEND).format(go=str(tmp_path / "go")),
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "PKG-INFO": "Metadata-Version: 2.1\nName: slow-package-for-a-test\nVersion: 1.0\n",
    }
    with tarfile.open(packages / "slow_package_for_a_test-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"slow_package_for_a_test-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    monkeypatch.setenv("UV_FIND_LINKS", str(packages))
    return tmp_path / "go"


def debug(http: httpx.Client, **more: object) -> httpx.Response:
    """Run an action from its source."""
    body = {
        "action": "go",
        "config": {"actions": {"go": "m:go"}},
        "modules": {"m": "def go():\n    return 1\n"},
        **more,
    }
    return http.post("/plugin_releases/run_debug/", json=body)


def test_a_slow_installation_holds_no_turn(slow: Path, tmp_path: Path) -> None:
    """Any number of runs wait for it in one turn; a waiting run can be stopped."""
    with EmbeddedAgent(data_dir=tmp_path / "data", max_concurrent_runs=1) as agent, ThreadPoolExecutor(3) as pool:
        headers = {"Authorization": agent.token}
        with httpx.Client(base_url=agent.base_url, headers=headers, timeout=60, trust_env=False) as http:
            assert debug(http).status_code == 200
            requirements = ["slow-package-for-a-test"]
            waiting = [pool.submit(debug, http, requirements=requirements, job_id=f"slow-{n}") for n in range(3)]
            time.sleep(1)
            assert debug(http).json() == 1
            assert [call.done() for call in waiting] == [False] * 3
            assert http.post("/jobs/slow-2/stop/").json()["status"] == "STOPPED"
            slow.touch()
            assert [call.result().status_code for call in waiting] == [200, 200, 409]


def test_a_run_that_waits_for_its_turn_can_be_stopped(tmp_path: Path) -> None:
    """It never begins; the other one continues."""
    end_of_first = tmp_path / "signs" / "end"
    end_of_first.parent.mkdir()  # without leave to write there, a run would see no file that is made after its start
    source = WAITS.format(end=str(end_of_first))
    embedded = EmbeddedAgent(data_dir=tmp_path / "data", max_concurrent_runs=1, allow_write=(end_of_first.parent,))
    with embedded as agent, ThreadPoolExecutor(2) as pool:
        headers = {"Authorization": agent.token}
        with httpx.Client(base_url=agent.base_url, headers=headers, timeout=60, trust_env=False) as http:
            first = pool.submit(debug, http, modules={"m": source}, job_id="first")
            end = time.monotonic() + 20
            while http.get("/jobs/first/").json().get("status") != "RUNNING" and time.monotonic() < end:
                time.sleep(0.02)
            second = pool.submit(debug, http, job_id="second")
            time.sleep(0.5)
            stopped = http.post("/jobs/second/stop/").json()
            assert (stopped["status"], stopped["started_at"]) == ("STOPPED", None)
            assert second.result().status_code == 409
            end_of_first.touch()
            assert first.result().status_code == 200
