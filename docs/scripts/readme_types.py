"""Write the Python of README.md to `build/typing/readme.py`, one function a block, for type checkers to read."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "build" / "typing" / "readme.py"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
HEAD = """# Written by docs/scripts/readme_types.py.
# pyright: reportUnusedVariable=false

from __future__ import annotations

from synapse_sdk.clients.agent import AgentClient
"""


def main() -> None:
    """Write the module."""
    blocks = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    functions = [function(number, block) for number, block in enumerate(blocks, 1)]
    TARGET.write_text("\n\n".join([HEAD, *functions]), encoding="utf-8")


def function(number: int, block: str) -> str:
    """Return a block as a function, which gets a client unless the block makes its own."""
    parameter = "" if re.search(r"\bclient = |\bas client\b", block) else "client: AgentClient"
    return f"async def block_{number}({parameter}) -> None:\n{textwrap.indent(block, '    ')}"


if __name__ == "__main__":
    main()
