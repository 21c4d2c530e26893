"""Write `docs/images/page-*.png`: views of the agent's page in a browser, of an agent that really ran these jobs."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from browser import Browser, find_browser

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ActionFailedError

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
WIDTH, HEIGHT = 1100, 640
VIEWS = {
    "jobs": ("#/jobs", "document.querySelectorAll('tbody tr').length > 5"),
    "job": ("#/jobs/nightly-training", "document.querySelector('.log')?.textContent.includes('epoch')"),
    "run": ("#/releases/shapes%401.0.0/greet", "!!document.querySelector('#param-name')"),
}
"""Views by the name of their picture: the address, and a script that is true once it is shown."""


def main() -> int:
    """Take the pictures; return 1 without a browser."""
    program = find_browser()
    if program is None:
        print("There is no Chromium here; as root on Debian, .ci/install installs it.", file=sys.stderr)
        return 1
    with EmbeddedAgent(ROOT / "examples" / "plugins") as agent, agent.client() as client:
        run_jobs(client)
        with tempfile.TemporaryDirectory() as profile, Browser(program, Path(profile), width=WIDTH) as browser:
            size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
            browser.command("Emulation.setDeviceMetricsOverride", **size)
            browser.open(f"{agent.base_url}/#code={client.create_session_code()['code']}")
            browser.wait_for("!!document.querySelector('header .live')")
            for name, (address, is_shown) in VIEWS.items():
                browser.run(f"location.hash = {address!r}")
                browser.wait_for(is_shown)
                browser.screenshot(IMAGES / f"page-{name}.png")
    return 0


def run_jobs(client: AgentClient) -> None:
    """Run the jobs that the pictures show."""
    for code, version in (("my_plugin", "1.0.0"), ("shapes", "1.0.0"), ("ml_model", "1.2.0")):
        client.create_plugin_release(code, version)
    client.run_plugin_release("shapes@1.0.0", "greet", params={"name": "Ada"})
    client.run_plugin_release("ml_model@1.2.0", "predict", params={"data": [1, 2, 3, 4, 5]})
    for epochs in (2, 0, 3):
        try:
            client.run_plugin_release("my_plugin@1.0.0", "train", params={"epochs": epochs})
        except ActionFailedError as error:
            print(error.message)
    client.run_plugin_release("my_plugin@1.0.0", "process", params={"input": "to be or not to be"})
    client.run_plugin_release("my_plugin@1.0.0", "train", params={"epochs": 5}, job_id="nightly-training")


if __name__ == "__main__":
    sys.exit(main())
