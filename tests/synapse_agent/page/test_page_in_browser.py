"""The agent's page, used in a browser as an operator does; the tests' scripts only read what it shows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from browser import Browser, find_browser

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient

ROOT = Path(__file__).parents[3]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
WIDE, NARROW = 1280, 390
CONFIG = """
code: shown
version: 1.0.0
actions:
  hostile: {entrypoint: "actions:hostile"}
  colors: {entrypoint: "actions:colors"}
  chatter: {entrypoint: "actions:chatter", method: job}
  wait: {entrypoint: "actions:wait", method: job}
  fail: {entrypoint: "actions:fail"}
  draw: {entrypoint: "actions:draw"}
  read: {entrypoint: "actions:read"}
  fit: {entrypoint: "actions:fit"}
  lose: {entrypoint: "actions:lose"}
  tabulate: {entrypoint: "actions:tabulate"}
  predict: {entrypoint: "actions:Model", method: serve}
"""
ACTIONS = """
import base64, os, time
from enum import Enum
from pathlib import Path

SCRIPT = "<script>document.title='taken'</script><img src=x onerror=document.title='taken'>"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

class Kind(Enum):
    LINE = "line"
    CURVE = "curve"

def hostile(context):
    print(SCRIPT)
    context.log(SCRIPT, {SCRIPT: SCRIPT})
    return {SCRIPT: [SCRIPT]}

def colors():
    print("\\x1b[31mred\\x1b[0m plain")
    print("10 %\\r50 %\\r100 %")

def chatter():
    for number in range(20_000):
        print(f"line {number} " + 500 * "x")

def wait(context):
    print("waiting")
    context.set_progress(1, 4)
    time.sleep(600)

def fail():
    raise ValueError("no data")

def draw():
    Path(os.environ["SYNAPSE_OUTPUT_DIR"], "dot.png").write_bytes(PNG)

def read(times: int, file):
    return times * Path(file).read_text()

def tabulate():
    path = Path(os.environ["SYNAPSE_OUTPUT_DIR"], "sums.csv")
    path.write_text("x")
    rows = [{"region": "north", "sum": 1.5}, {"region": "south", "sum": 2}]
    return {"rows": rows, "losses": [0.5, 0.25], "csv": path}

def lose():
    return {"loss": [0.5, float("nan"), float("inf")]}

class Model:
    def predict(self):
        return "predicted"

def fit(epochs: int, kind: Kind = Kind.LINE, verbose: bool = False):
    return [epochs, kind.value, verbose]
"""


ONE = {"config": {"actions": {"one": {"entrypoint": "m:one"}}}, "modules": {"m": "def one():\n    return 1\n"}}
JOBS = 100_000
INSERT = """
    WITH RECURSIVE
        numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :jobs),
        ages AS (SELECT n, printf('-%d seconds', (:jobs - n) / 2) AS age FROM numbers),
        times AS (SELECT n, strftime('%Y-%m-%dT%H:%M:%f', 'now', age) AS at FROM ages)
    INSERT INTO jobs
        (job_id, content, release, action, method, status, created_at, started_at, finished_at, result, size)
    SELECT printf('old-%06d', n), '', 'p@1', CASE WHEN n % 2 THEN 'go' ELSE 'stay' END, 'task',
        CASE WHEN n % 7 = 0 THEN 'FAILED' ELSE 'SUCCEEDED' END, at || '000+00:00', at || '000+00:00',
        at || '000+00:00', CAST('1' AS BLOB), 1
    FROM times
"""
"""The time between two jobs is half a second."""


@pytest.fixture(scope="module")
def shown_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAgent]:
    """An agent with a plugin that does what the page shows."""
    plugin = tmp_path_factory.mktemp("plugins") / "shown"
    plugin.mkdir()
    (plugin / "config.yaml").write_text(CONFIG)
    (plugin / "actions.py").write_text(ACTIONS)
    with EmbeddedAgent(plugin.parent, gpus=2) as agent, agent.client() as client:
        client.create_plugin_release("shown", "1.0.0")
        client.run_plugin_release("shown@1.0.0", "fit", {"epochs": 3})
        yield agent


@pytest.fixture
def client(shown_agent: EmbeddedAgent) -> Iterator[AgentClient]:
    """A client of that agent."""
    with shown_agent.client() as client:
        yield client


@contextmanager
def looking(agent: EmbeddedAgent, profile: Path, *, width: int = WIDE, signed_in: bool = True) -> Iterator[Browser]:
    """Open the page; check that it requests only this agent, and reports only the 401 before signing in."""
    program = find_browser()
    if program is None:
        pytest.skip("Chromium is missing; as root on Debian, .ci/install installs it.")
    with Browser(program, profile, width=width) as browser, agent.client() as client:
        browser.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width == NARROW
        )
        base_url = agent.base_url
        browser.open(f"{base_url}/#code={client.create_session_code()['code']}" if signed_in else f"{base_url}/")
        if signed_in:
            browser.wait_for("!!document.querySelector('header .live')")
        yield browser
        assert [url for url in browser.requested if not url.startswith((base_url, "data:"))] == []
        assert [text for text in browser.complaints if "401" not in text] == []


def show(browser: Browser, place: str) -> None:
    """Go to a view."""
    browser.run(f"location.hash = {place!r}")


def has(browser: Browser, text: str) -> None:
    """Wait until the page shows a text."""
    browser.wait_for(f"document.body.innerText.includes({json.dumps(text)})")


def press(browser: Browser, label: str) -> None:
    """Press the button or link with a label."""
    find = f"[...document.querySelectorAll('button, a')].find(each => each.innerText === {label!r})"
    browser.wait_for(f"(found => found && (found.click(), true))({find})")


def test_a_token_signs_in_and_a_wrong_one_does_not(shown_agent: EmbeddedAgent, tmp_path: Path) -> None:
    """Scripts can't read the resulting cookie; signing out ends the session."""
    with looking(shown_agent, tmp_path, signed_in=False) as browser:
        browser.type("#token", "not-the-token")
        press(browser, "Sign in")
        has(browser, "That is not a token of this agent.")
        browser.run("document.querySelector('#token').value = ''")
        browser.type("#token", shown_agent.token)
        press(browser, "Sign in")
        has(browser, "shown@1.0.0")
        assert browser.run("document.cookie") == ""
        press(browser, "Sign out")
        has(browser, "Token of this agent")


def test_a_code_signs_in_once_and_leaves_the_address(shown_agent: EmbeddedAgent, tmp_path: Path) -> None:
    """This is what `synapse-agent open` does."""
    with looking(shown_agent, tmp_path) as browser:
        has(browser, "shown@1.0.0")
        assert "code" not in browser.run("location.href")


def test_jobs_are_listed_filtered_and_followed(shown_agent: EmbeddedAgent, client: AgentClient, tmp_path: Path) -> None:
    """A job that another program starts appears without a reload; filters are part of the address."""
    with looking(shown_agent, tmp_path) as browser:
        has(browser, "SUCCEEDED")
        client.run_plugin_release("shown@1.0.0", "colors", job_id="appears")
        has(browser, "appears")
        show(browser, "#/jobs?status=FAILED")
        browser.wait_for("!document.querySelector('tbody').innerText.includes('SUCCEEDED')")
        show(browser, "#/jobs?job_id_prefix=appea")
        browser.wait_for("document.querySelectorAll('tbody tr').length === 1")
        show(browser, "#/jobs?status=RUNNING&action=wait")
        has(browser, "No jobs match these filters")
        client.run_plugin_release("shown@1.0.0", "wait", job_id="leaves-the-list")
        has(browser, "leaves-the-l")
        client.stop_job("leaves-the-list")
        has(browser, "No jobs match these filters")


@pytest.mark.long
def test_a_hundred_thousand_jobs_are_shown(tmp_path: Path) -> None:
    """This includes filters and the chart of a day; older jobs stay in view while new ones arrive."""
    folder = tmp_path / "data"
    EmbeddedAgent(data_dir=folder).start().stop()
    with closing(sqlite3.connect(folder / "agent.sqlite3")) as connection, connection:
        connection.execute(INSERT, {"jobs": JOBS})
    with (
        EmbeddedAgent(data_dir=folder) as agent,
        agent.client() as client,
        looking(agent, tmp_path / "profile") as browser,
    ):
        for place, shown in (
            ("#/jobs?status=FAILED", "old-099995"),
            ("#/jobs?action=stay&since=last+hour", "old-100000"),
            ("#/jobs?release=p%401&job_id_prefix=old-00000", "old-000009"),
            ("#/machine", f"{JOBS} runs"),
            ("#/jobs", "old-100000"),
        ):
            if place == "#/machine":
                show(browser, place)
                browser.wait_for("document.querySelectorAll('.chart .runs').length === 60")
                browser.run(
                    "(select => (select.value = '24', select.dispatchEvent(new Event('change', {bubbles: true}))))"
                    "(document.querySelector('select'))"
                )
            else:
                show(browser, place)
            has(browser, shown)
        rows = "document.querySelectorAll('tbody tr').length"
        for count in (100, 150):
            press(browser, "Older jobs")
            browser.wait_for(f"{rows} === {count}")
        client.run_debug_plugin_release("one", **ONE, job_id="newest")
        browser.wait_for("document.querySelector('tbody').innerText.startsWith('newest')")
        assert browser.run(rows) == 151
        client.delete_job("newest")
        browser.wait_for(f"{rows} === 150")


def test_a_form_runs_an_action(shown_agent: EmbeddedAgent, tmp_path: Path) -> None:
    """Its fields come from the type hints of the action; the form shows invalid values."""
    with looking(shown_agent, tmp_path) as browser:
        show(browser, "#/releases")
        has(browser, "shown@1.0.0")
        show(browser, "#/releases/shown%401.0.0/fit")
        browser.type("#param-epochs", "5")
        browser.run(
            "(select => (select.value = '\"curve\"', select.dispatchEvent(new Event('change', {bubbles: true}))))"
            "(document.querySelector('#param-kind'))"
        )
        press(browser, "Run fit")
        has(browser, '"curve"')
        press(browser, "Run again")
        browser.wait_for("document.querySelector('#param-epochs')?.value === '5'")
        press(browser, "JSON")
        browser.run(
            "(area => (area.value = '{\"epochs\": \"many\"}', area.dispatchEvent(new Event('input', {bubbles: true}))))"
            "(document.querySelector('textarea'))"
        )
        press(browser, "Run fit")
        has(browser, "invalid_params")


def test_what_a_plugin_prints_is_text(shown_agent: EmbeddedAgent, client: AgentClient, tmp_path: Path) -> None:
    """Scripts in its log, result or events don't run."""
    client.run_plugin_release("shown@1.0.0", "hostile", job_id="hostile")
    with looking(shown_agent, tmp_path) as browser:
        show(browser, "#/jobs/hostile")
        has(browser, "<script>document.title='taken'</script>")
        assert "taken" not in browser.run("document.title")
        assert browser.run("document.querySelectorAll('#app script, #app img').length") == 0


@pytest.mark.long
def test_a_log_has_colors_and_is_searched(shown_agent: EmbeddedAgent, client: AgentClient, tmp_path: Path) -> None:
    """A carriage return overwrites the line, as on a terminal."""
    client.run_plugin_release("shown@1.0.0", "colors", job_id="colors")
    with looking(shown_agent, tmp_path) as browser:
        show(browser, "#/jobs/colors")
        assert browser.wait_for("document.querySelector('.log .fg-1')?.innerText") == "red"
        assert "10 %" not in browser.run("document.querySelector('.log').innerText")
        browser.type("input[type=search]", "100")
        browser.wait_for("document.querySelector('.log').innerText.trim() === '100 %'")


@pytest.mark.long
def test_ten_megabytes_of_log_are_followed(shown_agent: EmbeddedAgent, client: AgentClient, tmp_path: Path) -> None:
    """The page keeps the newest lines and counts the others; the whole log can be downloaded."""
    client.run_plugin_release("shown@1.0.0", "chatter", job_id="chatter")
    with looking(shown_agent, tmp_path) as browser:
        show(browser, "#/jobs/chatter")
        browser.wait_for("document.querySelector('.bar span[role=status]')?.innerText === '20000 lines'")
        browser.wait_for("document.querySelector('.log > div:last-child').textContent.startsWith('line 19999')")
        assert browser.run("document.querySelectorAll('.log > div').length") <= 2400


def test_a_running_job_is_stopped(shown_agent: EmbeddedAgent, client: AgentClient, tmp_path: Path) -> None:
    """The page shows its progress and its log while it runs."""
    client.run_plugin_release("shown@1.0.0", "wait", job_id="waits")
    with looking(shown_agent, tmp_path) as browser:
        show(browser, "#/jobs/waits")
        has(browser, "1 of 4")
        has(browser, "waiting")
        press(browser, "Stop")
        has(browser, "STOPPED")
        has(browser, "action_stopped")


def test_an_error_has_its_traceback(shown_agent: EmbeddedAgent, client: AgentClient, tmp_path: Path) -> None:
    """The traceback shows the line of the plugin's code."""
    client.run_plugin_release("shown@1.0.0", "fail", job_id="fails", background=True)
    with looking(shown_agent, tmp_path) as browser:
        show(browser, "#/jobs/fails")
        has(browser, 'raise ValueError("no data")')


@pytest.mark.long
def test_what_json_does_not_have_is_named(shown_agent: EmbeddedAgent, client: AgentClient, tmp_path: Path) -> None:
    """The result has `null` in its place."""
    client.run_plugin_release("shown@1.0.0", "lose", job_id="loses")
    with looking(shown_agent, tmp_path) as browser:
        show(browser, "#/jobs/loses")
        has(browser, "null stands for NaN at $.loss[1], Infinity at $.loss[2].")


def test_a_result_has_tables_short_lists_and_links(
    shown_agent: EmbeddedAgent, client: AgentClient, tmp_path: Path
) -> None:
    """Objects with the same keys are the rows of a table, and the link to a file works."""
    client.run_plugin_release("shown@1.0.0", "tabulate", job_id="tabulated")
    with looking(shown_agent, tmp_path) as browser:
        show(browser, "jobs/tabulated")
        browser.wait_for("document.querySelectorAll('.rows table tr').length === 3")
        assert browser.run("document.querySelector('.rows table').innerText").split() == [
            *("region", "sum"),
            *('"north"', "1.5"),
            *('"south"', "2"),
        ]
        assert "losses: [0.5, 0.25]" in browser.run("document.body.innerText")
        link = browser.run("[...document.querySelectorAll('.leaf a')].find(each => each.download === 'sums.csv').href")
        assert browser.run(f"fetch({link!r}).then(answer => answer.text())") == "x"
        assert browser.complaints == []


@pytest.mark.long
def test_an_image_is_shown(shown_agent: EmbeddedAgent, client: AgentClient, tmp_path: Path) -> None:
    """The image is one of the job's files; the session's cookie is enough to read it."""
    client.run_plugin_release("shown@1.0.0", "draw", job_id="draws")
    with looking(shown_agent, tmp_path) as browser:
        show(browser, "#/jobs/draws")
        browser.wait_for("document.querySelector('.files img')?.naturalWidth === 1")


def test_a_file_is_sent_and_read(shown_agent: EmbeddedAgent, tmp_path: Path) -> None:
    """Its reference becomes a param of the run."""
    (tmp_path / "words.txt").write_text("to be or not to be")
    with looking(shown_agent, tmp_path / "profile") as browser:
        show(browser, "#/releases/shown%401.0.0/read")
        browser.wait_for("!!document.querySelector('input[type=file]')")
        root = browser.command("DOM.getDocument")["root"]["nodeId"]
        node = browser.command("DOM.querySelector", nodeId=root, selector="input[type=file]")["nodeId"]
        browser.command("DOM.setFileInputFiles", files=[str(tmp_path / "words.txt")], nodeId=node)
        has(browser, "words.txt is file.")
        browser.type("#param-times", "1")
        press(browser, "Run read")
        has(browser, '"to be or not to be"')
        browser.complaints.remove("Failed to load resource: the server responded with a status of 404 (Not Found)")


@pytest.mark.long
def test_a_file_is_dropped(shown_agent: EmbeddedAgent, tmp_path: Path) -> None:
    """The user drops it from a file manager onto the form."""
    path = tmp_path / "dropped.txt"
    path.write_text("that is the question")
    with looking(shown_agent, tmp_path / "profile") as browser:
        show(browser, "#/releases/shown%401.0.0/read")
        browser.wait_for("!!document.querySelector('.drop')")
        place = browser.run(
            "(({x, y, width, height}) => ({x: x + width / 2, y: y + height / 2}))"
            "(document.querySelector('.drop').getBoundingClientRect())"
        )
        dragged = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            browser.command("Input.dispatchDragEvent", type=kind, data=dragged, **place)
        has(browser, "dropped.txt is file.")
        browser.type("#param-times", "1")
        press(browser, "Run read")
        has(browser, '"that is the question"')
        browser.complaints.remove("Failed to load resource: the server responded with a status of 404 (Not Found)")


@pytest.mark.long
def test_the_machine_has_a_chart_and_what_it_keeps(
    shown_agent: EmbeddedAgent, client: AgentClient, tmp_path: Path
) -> None:
    """The page shows runs and failures, nodes with their GPUs, served models, environments and storage."""
    client.run_plugin_release("shown@1.0.0", "predict")
    with looking(shown_agent, tmp_path) as browser:
        show(browser, "#/machine")
        browser.wait_for("document.querySelectorAll('.chart .runs').length === 60")
        browser.wait_for("document.querySelectorAll('[aria-label=Nodes] tbody td:last-child div').length === 2")
        has(browser, "ALIVE")
        browser.wait_for("document.querySelectorAll('[aria-label=Environments] tbody tr').length > 0")
        browser.wait_for("document.querySelector('[aria-label=Storage]').innerText.includes('jobs')")
        served = "document.querySelector('[aria-label=\"Served models\"]')"
        browser.wait_for(f"{served}?.innerText.includes('IDLE')")
        press(browser, "End")
        browser.wait_for(f"!{served}")
    assert client.list_serve_applications() == []


@pytest.mark.long
def test_an_agent_that_restarts_is_found_again(tmp_path: Path) -> None:
    """The page shows that it reconnects, and then resumes; the session outlives the agent's process."""
    folder, token = tmp_path / "data", "t" * 40
    first = EmbeddedAgent(data_dir=folder, token=token).start()
    with looking(first, tmp_path / "profile") as browser:
        port = int(first.base_url.rpartition(":")[2])
        first.stop()
        has(browser, "connecting …")
        with EmbeddedAgent(data_dir=folder, token=token, port=port) as second, second.client() as client:
            browser.wait_for("!!document.querySelector('header .live')")
            client.run_debug_plugin_release("one", **ONE, job_id="after")
            has(browser, "after")
        browser.complaints.clear()  # connections that were refused during the restart


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_every_view_is_accessible(
    shown_agent: EmbeddedAgent, client: AgentClient, tmp_path: Path, width: int, scheme: str
) -> None:
    """axe-core finds no serious problem, and no view is wider than its window."""
    client.run_plugin_release("shown@1.0.0", "colors", job_id="colors")
    with looking(shown_agent, tmp_path, width=width) as browser:
        browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        browser.run(AXE.read_text(encoding="utf-8"))
        for place, text in (
            ("#/jobs", "SUCCEEDED"),
            ("#/jobs/colors", "Download"),
            ("#/releases", "shown@1.0.0"),
            ("#/releases/shown%401.0.0/fit", "epochs"),
            ("#/machine", "ALIVE"),
        ):
            show(browser, place)
            has(browser, text)
            found = browser.run(
                "axe.run({resultTypes: ['violations']}).then(({violations}) => violations"
                ".filter(({impact}) => impact === 'serious' || impact === 'critical')"
                ".map(({id, nodes}) => `${id}: ${nodes[0].html}`))"
            )
            assert found == [], place
            assert browser.run("document.documentElement.scrollWidth - innerWidth") <= 0, place


@pytest.mark.long
def test_the_keyboard_moves_between_views(shown_agent: EmbeddedAgent, tmp_path: Path) -> None:
    """1, 2 and 3 open the views, / moves to the first search field."""
    with looking(shown_agent, tmp_path) as browser:
        browser.command("Input.dispatchKeyEvent", type="keyDown", key="2", text="2")
        has(browser, "Releases")
        browser.wait_for("location.hash === '#/releases'")
        browser.command("Input.dispatchKeyEvent", type="keyDown", key="1", text="1")
        browser.wait_for("document.querySelectorAll('input[type=search]').length > 0")
        browser.command("Input.dispatchKeyEvent", type="keyDown", key="/", text="/")
        browser.wait_for("document.activeElement.type === 'search'")
