"""Run a section of docs/sharing-the-contract.md unmodified, on a temporary agent.

python examples/recipes.py typescript    (or go, curl, httpie)
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "sharing-the-contract.md"
BLOCK = re.compile(r'^```(?P<kind>\w+)(?: filename="(?P<name>[^"]+)")?\n(?P<text>.*?)^```$', re.M | re.S)
AGENT = "An agent for the examples"


def main() -> int:
    """Run the section that the command line names; return its exit code."""
    wanted = sys.argv[1].lower() if len(sys.argv) == 2 else ""
    names = {name.lower(): name for name in sections() if name in ("TypeScript", "Go", "curl", "HTTPie")}
    if wanted not in names:
        print(f"Name one of {', '.join(names)}: python examples/recipes.py curl", file=sys.stderr)
        return 2
    return run(names[wanted]).returncode


def sections() -> dict[str, str]:
    """Return the page's sections by their headings."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def script(section: str) -> str:
    """Return the commands that start an agent and those of a section, with its files, as one program for bash."""
    blocks = [*BLOCK.finditer(sections()[AGENT]), *BLOCK.finditer(sections()[section])]
    commands = [written(block["name"], block["text"]) if block["name"] else block["text"] for block in blocks]
    return "".join(["set -euo pipefail\ntrap 'kill $(jobs -p)' EXIT\n", *commands]).replace("8000", free_port())


def written(name: str, text: str) -> str:
    """Return the command that writes a file."""
    return f"cat > {name} << 'END OF FILE'\n{text}END OF FILE\n"


def free_port() -> str:
    """Return a port without a listener: 8000 may be taken."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def run(section: str, *, capture: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a section in the repository, and remove its files and its agent's."""
    with tempfile.TemporaryDirectory(prefix="recipe-", ignore_cleanup_errors=True) as folder:
        environment = os.environ | {"TMPDIR": folder, "XDG_STATE_HOME": folder}
        return subprocess.run(
            ["bash", "-c", script(section)], cwd=ROOT, env=environment, capture_output=capture, text=True
        )


if __name__ == "__main__":
    sys.exit(main())
