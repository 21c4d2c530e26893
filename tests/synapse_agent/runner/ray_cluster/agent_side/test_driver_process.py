"""A driver's environment, and its last output."""

from __future__ import annotations

import pytest

from synapse_agent.runner.ray_cluster.agent_side.driver_process import driver_env, last_said

ABORTED = """\
2026-11-24 14:49:39,100 INFO synapse_agent.runner: something else
[2026-11-24 14:49:39,643 C 5232 5232] raylet_ipc_client.cc:85: Failed to connect to socket at address: raylet
*** StackTrace Information ***
/usr/lib/python3/ray/_raylet.so(+0x1812b9a) [0x7f2dbaa12b9a] ray::operator<<()
[2026-11-24 14:49:39,650 E 5232 5232] logging.cc:474:     @     0x7f721145a050  161578840  (unknown)

"""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (ABORTED, "Failed to connect to socket at address: raylet"),
        ("2026-11-24 14:50:00,001 ERROR synapse_agent.driver: The head is gone\n", "The head is gone"),
        ("2026-11-24 14:50:00,001 INFO synapse_agent.shipping: Sent all of it\n", ""),
        ("Traceback (most recent call last):\n  File x\nValueError: no\n", "ValueError: no"),
        ("\n\n", ""),
        ("", ""),
    ],
)
def test_the_last_words_are_the_last_that_say_something(log: str, said: str) -> None:
    """Ray's own stack and the prefix of each line are omitted."""
    assert last_said(log) == said


def test_a_driver_gets_what_configures_ray_and_nothing_of_the_agents_own() -> None:
    """Tokens are required unless configured otherwise, and Ray reports no usage."""
    environ = driver_env({"SYNAPSE_AGENT_TOKEN": "s3cret", "PATH": "/bin", "RAY_AUTH_TOKEN": "ray's own"})
    assert environ == {
        "PATH": "/bin",
        "RAY_AUTH_TOKEN": "ray's own",
        "RAY_AUTH_MODE": "token",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    assert driver_env({"RAY_AUTH_MODE": "disabled"})["RAY_AUTH_MODE"] == "disabled"
