"""The log of a download."""

from __future__ import annotations

import pytest

from synapse_agent.plugins.backend.download import Progress, share


def test_progress_has_a_total_if_it_is_known() -> None:
    """The text has received bytes, and if known total bytes and percent."""
    assert share(1024, 4096) == "1024 of 4096 bytes (25 %)"
    assert share(0, 0) == "0 of 0 bytes (0 %)"
    assert share(1024, None) == "1024 bytes of an unknown number"


def test_progress_is_logged_at_the_start_every_few_seconds_and_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """The number of log lines does not depend on the number of pieces."""
    caplog.set_level("INFO", logger="synapse_agent")
    now = 100.0
    progress = Progress("'small@1.0.0'", total=80, every=5.0, clock=lambda: now)
    progress.advance(0)
    for count in range(1, 81):
        now += 0.125
        progress.advance(count)
    progress.end(80)
    assert caplog.messages == [
        "Downloading 'small@1.0.0': 0 of 80 bytes (0 %)",
        "Downloading 'small@1.0.0': 40 of 80 bytes (50 %)",
        "Downloading 'small@1.0.0': 80 of 80 bytes (100 %)",
        "Downloaded 'small@1.0.0': 80 bytes in 10.0 s",
    ]
