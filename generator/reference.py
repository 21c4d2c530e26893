"""Write the API reference, the page that an agent serves at /docs, as files that open without an agent."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "generated" / "synapse_agent_api"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page into a folder, replacing its content; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args(arguments).folder
    shutil.rmtree(folder, ignore_errors=True)
    write_reference(folder)
    print(f"The API reference is {folder / 'index.html'}.")
    return 0


def write_reference(folder: Path) -> None:
    """Write the page, its files and the contract into a new folder."""
    shutil.copytree(PACKAGE / "reference", folder)
    shutil.copy(PACKAGE / "openapi.yaml", folder)
    contract = (PACKAGE / "openapi.json").read_text(encoding="utf-8")
    # A page from a file can't fetch another file, but can load a script.
    (folder / "contract.js").write_text(f"globalThis.contract = {contract.strip()};\n", encoding="utf-8")
    page = (PACKAGE / "reference" / "index.html").read_text(encoding="utf-8").replace('"docs/', '"')
    before, script, after = page.partition('    <script src="reference.js">')
    with_contract = f'{before}    <script src="contract.js"></script>\n{script}{after}'
    (folder / "index.html").write_text(with_contract, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
