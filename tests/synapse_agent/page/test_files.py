"""The contract and its reference page, as an agent serves them and as files."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from browser import NAMES, Browser, find_browser

from synapse_agent import EmbeddedAgent
from synapse_agent.page.files import FILES
from synapse_sdk import openapi_path

REPOSITORY = Path(__file__).parents[3]
CONTRACT: dict[str, Any] = yaml.safe_load((REPOSITORY / "openapi.yaml").read_text(encoding="utf-8"))
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
        pytest.skip(f"There is no browser: none of {', '.join(NAMES)}. `apt-get install chromium-headless-shell`.")
    with Browser(program, tmp_path / "profile") as browser:
        yield browser


@pytest.mark.parametrize("path", FILES)
def test_the_contract_and_its_page_are_open_to_all(agent: EmbeddedAgent, path: str) -> None:
    """Without a token, with their content type, and with a policy that lets the page ask this agent alone."""
    answer = httpx.get(agent.base_url + path, trust_env=False)
    assert (answer.status_code, answer.headers["content-type"]) == (200, FILES[path][1])
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "http" not in answer.headers["content-security-policy"]
    head = httpx.head(agent.base_url + path, trust_env=False)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(answer.content))


def test_the_contract_that_is_served_is_the_one_in_the_repository(http: httpx.Client) -> None:
    """As YAML byte by byte, as JSON with the same content; and the client has it, too."""
    committed = (REPOSITORY / "openapi.yaml").read_bytes()
    assert http.get("/openapi.yaml").content == committed == openapi_path().read_bytes()
    assert http.get("/openapi.json").json() == CONTRACT


def test_the_wheel_brings_the_contract_the_page_and_its_licences(tmp_path: Path) -> None:
    """Who installs the package has all of it, and nothing of it comes from elsewhere."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"synapse_agent_api/{name}" for name, _ in FILES.values()} <= set(names)
    assert {"LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt"} <= {
        name.removeprefix("synapse_agent_api/reference/") for name in names
    }


@pytest.mark.parametrize(
    ("headers", "error_type"),
    [({"Host": "evil.test"}, "host_not_allowed"), ({"Origin": "http://evil.test"}, "origin_not_allowed")],
)
def test_foreign_pages_don_t_get_the_contract_either(
    agent: EmbeddedAgent, headers: dict[str, str], error_type: str
) -> None:
    """Open without a token is not open to the whole web."""
    answer = httpx.get(agent.base_url + "/openapi.json", headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["detail"]["error_type"]) == (403, error_type)


def test_the_page_is_read_only(http: httpx.Client) -> None:
    """405 with what there is."""
    answer = http.post("/docs", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_a_page_s_reader_tries_an_operation_on_the_agent_that_serves_it(
    browser: Browser, agent: EmbeddedAgent, plugins: Path, write_plugin: Callable[..., Path], tmp_path: Path
) -> None:
    """Every operation is there, and with the token, not without it, this agent carries the contract's example out."""
    write_plugin(plugins / "my_plugin", code="my_plugin")
    browser.open(agent.base_url + "/docs")
    browser.wait_for("document.querySelectorAll('.opblock').length")
    assert sorted(shown_operations(browser)) == sorted(OPERATIONS)

    create = "#operations-plugin_releases-create_plugin_release"
    answered = f"document.querySelector('{create} .live-responses-table tbody .response-col_status')?.innerText"
    browser.click(f"{create} .opblock-summary-control")
    browser.wait_for(f"!!document.querySelector('{create} .responses-table')")
    assert browser.run(f"document.querySelector('{create} input').value") == "", "a key would be sent unasked"
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


def test_the_page_opens_as_a_file(browser: Browser, tmp_path: Path) -> None:
    """`make docs` writes it with all that it needs; without an agent there is nothing to try out."""
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
