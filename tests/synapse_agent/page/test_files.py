"""The contract and its reference page, as an agent serves them and as files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from browser import NAMES, Browser, find_browser
from contract import CONTRACT
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_agent.page.files import FILES
from synapse_sdk import openapi_path

REPOSITORY = Path(__file__).parents[3]
OPERATIONS = [
    operation["operationId"]
    for item in CONTRACT["paths"].values()
    for name, operation in item.items()
    if name != "parameters"
]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A page of headless Chromium."""
    program = find_browser()
    if program is None:
        pytest.skip(f"No browser was found: none of {', '.join(NAMES)}. `apt-get install chromium-headless-shell`.")
    with Browser(program, tmp_path / "profile") as browser:
        yield browser


@pytest.mark.parametrize("path", FILES)
def test_the_contract_and_its_page_are_open_to_all(agent: EmbeddedAgent, path: str) -> None:
    """They need no token, have their content type, and a policy that restricts the page's requests to this agent."""
    answer = httpx.get(agent.base_url + path, trust_env=False)
    assert (answer.status_code, answer.headers["content-type"]) == (200, FILES[path][1])
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "http" not in answer.headers["content-security-policy"]
    head = httpx.head(agent.base_url + path, trust_env=False)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(answer.content))


def test_the_contract_that_is_served_is_the_one_in_the_repository(http: httpx.Client) -> None:
    """The YAML has the same bytes, the JSON the same content, and the client returns it, too."""
    committed = (REPOSITORY / "openapi.yaml").read_bytes()
    assert http.get("/openapi.yaml").content == committed == openapi_path().read_bytes()
    assert http.get("/openapi.json").json() == CONTRACT


@pytest.mark.parametrize(
    ("headers", "error_type"),
    [({"Host": "evil.test"}, "host_not_allowed"), ({"Origin": "http://evil.test"}, "origin_not_allowed")],
)
def test_foreign_pages_don_t_get_the_contract_either(
    agent: EmbeddedAgent, headers: dict[str, str], error_type: str
) -> None:
    """The contract needs no token, but requests of other sites are refused."""
    answer = httpx.get(agent.base_url + "/openapi.json", headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (403, error_type)


def test_the_page_is_read_only(http: httpx.Client) -> None:
    """The answer is 405 with the allowed methods."""
    answer = http.post("/docs", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.long
def test_a_page_s_reader_tries_an_operation_on_the_agent_that_serves_it(
    browser: Browser, agent: EmbeddedAgent, plugins: Path, write_plugin: Callable[..., Path], tmp_path: Path
) -> None:
    """The page has every operation; the agent executes the contract's example with only the token added."""
    write_plugin(plugins / "my_plugin", code="my_plugin")
    browser.open(agent.base_url + "/docs")
    browser.wait_for("document.querySelectorAll('.opblock').length")
    assert sorted(shown_operations(browser)) == sorted(OPERATIONS)

    create = "#operations-plugin_releases-create_plugin_release"
    answered = f"document.querySelector('{create} .live-responses-table tbody .response-col_status')?.innerText"
    browser.click(f"{create} .opblock-summary-control")
    browser.wait_for(f"!!document.querySelector('{create} .responses-table')")
    assert browser.run(f"document.querySelector('{create} input').value") == "", "a key would be sent by default"
    browser.click(f"{create} .execute")
    assert browser.wait_for(answered).startswith("401")

    browser.click(".auth-wrapper .authorize")
    browser.type(".auth-container input", agent.token)
    browser.click(".auth-container .authorize")
    browser.click(".auth-container .btn-done")
    browser.click(f"{create} .execute")
    browser.wait_for(f"{answered}.startsWith('201')")
    body = browser.run(f"document.querySelector('{create} .live-responses-table .highlight-code code').innerText")
    assert json.loads(body)["plugin"] == "my_plugin"

    assert [url for url in browser.requested if not url.startswith((agent.base_url, "data:"))] == []
    assert [text for text in browser.complaints if "401" not in text] == []
    browser.run(f"document.querySelector('{create} .responses-wrapper').scrollIntoView()")
    browser.screenshot(tmp_path / "docs.png")
    assert (tmp_path / "docs.png").stat().st_size > 10_000


def test_the_page_offers_the_agent_s_own_actions(
    browser: Browser, agent: EmbeddedAgent, http: httpx.Client, plugins: Path, write_plugin: Callable[..., Path]
) -> None:
    """They have the params of each action, once the reader has entered the token; a run can be sent unchanged."""
    source = """
        from dataclasses import dataclass

        @dataclass
        class Layer:
            size: int
            kind: str = "dense"

        def train(epochs: int, layer: Layer, rate: float = 0.5):
            return [epochs, layer.kind, rate]
        """
    config = "code: offered\nactions: {train: {entrypoint: 'main:train', description: Trains.}}\n"
    write_plugin(plugins / "offered", {"config.yaml": config, "main.py": source})
    http.post("/plugin_releases/", json={"plugin": "offered"}).raise_for_status()
    body = {"action": "train", "params": {"epochs": 1, "layer": {"size": 1}}}
    http.post("/plugin_releases/offered@0.1.0/run/", json=body).raise_for_status()
    until(lambda: "params_schema" in http.get("/plugin_releases/offered@0.1.0").text)

    browser.open(agent.base_url + "/docs")
    run = "#operations-plugin_releases-run_plugin_release"
    browser.wait_for(f"!!document.querySelector('{run} .opblock-summary-control')")
    browser.click(".auth-wrapper .authorize")
    browser.type(".auth-container input", agent.token)
    browser.click(".auth-container .authorize")
    browser.click(".auth-container .btn-done")
    browser.click(f"{run} .opblock-summary-control")
    options = f"[...document.querySelectorAll('{run} .examples-select option')].map(each => each.value)"
    browser.wait_for(f"{options}.includes('offered@0.1.0 train')")
    select = f"document.querySelector('{run} .examples-select select')"
    set_value = "Object.getOwnPropertyDescriptor(HTMLSelectElement.prototype, 'value').set"
    browser.run(f"{set_value}.call({select}, 'offered@0.1.0 train')")
    browser.run(f"{select}.dispatchEvent(new Event('change', {{bubbles: true}}))")
    text = f"document.querySelector('{run} textarea.body-param__text')?.value"
    browser.wait_for(f"{text}?.includes('epochs')")
    shown = json.loads(browser.run(text))
    assert shown == {"action": "train", "params": {"epochs": 0, "layer": {"size": 0, "kind": ""}, "rate": 0.5}}
    assert http.post("/plugin_releases/offered@0.1.0/run/", json=shown).json() == [0, "", 0.5]
    words = browser.run(f"document.querySelector('{run} .examples-select').parentElement.innerText")
    assert "epochs: integer, required" in words
    assert browser.complaints == []


def test_the_page_opens_as_a_file(browser: Browser, tmp_path: Path) -> None:
    """`make docs` writes it with all that it needs; without an agent, operations can't be tried."""
    command = [sys.executable, str(REPOSITORY / "generator" / "reference.py"), str(tmp_path / "api")]
    subprocess.run(command, check=True, capture_output=True)
    browser.open((tmp_path / "api" / "index.html").as_uri())
    browser.wait_for("document.querySelectorAll('.opblock').length")
    assert sorted(shown_operations(browser)) == sorted(OPERATIONS)
    browser.click("#operations-health-health_check .opblock-summary-control")
    browser.wait_for("!!document.querySelector('#operations-health-health_check .responses-table')")
    assert browser.run("document.querySelector('.execute, .try-out')") is None
    samples = browser.run("document.querySelector('#operations-health-health_check .code-samples').innerText")
    assert ("curl " in samples, "http " in samples) == (True, True)
    assert [url for url in browser.requested if not url.startswith(("file:", "data:"))] == []
    assert browser.complaints == []


def shown_operations(browser: Browser) -> list[str]:
    """Return the operations on the page, by their IDs."""
    shown: list[str] = browser.run("[...document.querySelectorAll('.opblock')].map(found => found.id)")
    return [name.split("-", 2)[2] for name in shown]
