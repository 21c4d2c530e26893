"""Call a served action many times while its worker is killed again and again: `make served CALLS=10000 KILLS=20`.

Each kill happens while no call is running; the next calls follow at once, before the agent can notice. No call may
fail, be lost or be executed twice.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from synapse_agent import EmbeddedAgent
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ClientError

sys.path.append(str(Path(__file__).parents[1] / "helpers"))
import keepers

CALLERS = 4
CONFIG = """
code: counted
version: 1.0.0
actions:
  count: {entrypoint: "counted:Counted", method: serve}
"""
CODE = """
import os

class Counted:
    def count(self, number, path):
        with open(path, "a") as file:
            print(number, file=file)
        return f"{os.getpid()}@{os.stat('/proc/self/ns/pid').st_ino}"
"""


def main(calls: int, kills: int) -> int:
    """Make the calls, and return the exit status."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "plugins" / "counted").mkdir(parents=True)
        (folder / "plugins" / "counted" / "config.yaml").write_text(CONFIG)
        (folder / "plugins" / "counted" / "counted.py").write_text(CODE)
        (folder / "marks").mkdir()
        path = folder / "marks" / "numbers"
        with (
            EmbeddedAgent(folder / "plugins", data_dir=folder / "data", allow_write=[folder / "marks"]) as agent,
            agent.client(max_retries=0) as client,
        ):
            client.create_plugin_release("counted", "1.0.0")
            errors = [error for each in range(kills) for error in one_round(client, path, each, calls // kills)]
        numbers = sorted(map(int, path.read_text().split()))
    wanted = list(range(calls // kills * kills))
    print(f"{len(wanted)} calls, {kills} kills: {len(errors)} errors, {len(numbers)} executed")
    for error in errors[:5]:
        print(f"  {error}")
    return 0 if not errors and numbers == wanted else 1


def one_round(client: AgentClient, path: Path, number: int, calls: int) -> list[ClientError]:
    """Make some calls, kill the worker after the first one, and return the errors."""
    numbers = range(number * calls, (number + 1) * calls)

    def call(number: int) -> ClientError | str:
        try:
            return str(client.run_plugin_release("counted@1.0.0", "count", {"number": number, "path": str(path)}))
        except ClientError as error:
            return error

    first = call(numbers[0])
    if isinstance(first, ClientError):
        return [first]
    os.kill(keepers.pid_of(first), 9)
    with ThreadPoolExecutor(CALLERS) as pool:
        return [error for error in pool.map(call, numbers[1:]) if isinstance(error, ClientError)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    sys.exit(main(**vars(parser.parse_args())))
