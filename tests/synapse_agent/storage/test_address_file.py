"""The address of a served agent."""

from __future__ import annotations

import subprocess
from pathlib import Path

from synapse_agent.storage.address_file import ADDRESS_FILE, address_kept, address_of_killed, kept_address


def test_an_address_is_valid_while_its_agent_runs(tmp_path: Path) -> None:
    """A stopped agent leaves none; the address of a killed one is for a message only."""
    with address_kept(tmp_path, "http://127.0.0.1:8123"):
        assert (kept_address(tmp_path), address_of_killed(tmp_path)) == ("http://127.0.0.1:8123", None)
    assert (kept_address(tmp_path), address_of_killed(tmp_path)) == (None, None)
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    (tmp_path / ADDRESS_FILE).write_text(f"http://127.0.0.1:8123 {ended.pid}\n")
    assert (kept_address(tmp_path), address_of_killed(tmp_path)) == (None, "http://127.0.0.1:8123")
    (tmp_path / ADDRESS_FILE).write_text("cut")
    assert (kept_address(tmp_path), address_of_killed(tmp_path)) == (None, None)
