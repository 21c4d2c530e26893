"""Measure everything, print the table, and write it to `bench/RESULTS.md`; with arguments, only some rows."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from bench import agent_rows, cluster_rows, environments, import_rows, serving_rows, table
from bench.environments import Environment
from bench.rows import ROWS, Row, Values
from bench.workers import server

RESULTS = Path(__file__).parent / "RESULTS.md"
MARK = "<!-- measured: what follows is written by `make bench` -->"


def main(wanted: list[str]) -> None:
    """Run the requested rows, or all."""
    homes = environments.prepare()
    if "public" not in homes:
        print("The public synapse-sdk is left out: it needs Python 3.12 or later, and this machine has none.")
    parts = []
    if rows := [row for row in ROWS if not wanted or any(word in row.name for word in wanted)]:
        with server() as url:
            parts.append(table.render([(row, measure(row, homes, url)) for row in rows]))
    if rows := agent_rows.chosen(wanted):
        homes |= environments.prepare_agent()
        measured = [(row, measure(row, homes)) for row in rows]
        parts.append(f"### The agent\n\n{table.render(measured, agent_rows.SUBJECTS)}")
    if measured := serving_rows.measured(wanted):
        parts.append(f"### Served actions\n\n{table.render(measured, serving_rows.SUBJECTS)}")
    if measured := import_rows.measured(wanted):
        parts.append(f"### Imports\n\n{table.render(measured, import_rows.SUBJECTS)}")
    if measured := cluster_rows.measured(wanted):
        parts.append(f"### On a cluster\n\n{table.render(measured, cluster_rows.SUBJECTS)}")
    report = "\n\n".join([*parts, "\n".join(about(homes))])
    print(f"\n{report}")
    if not wanted:
        write(report)


def measure(row: Row, homes: dict[str, Environment], url: str = "") -> Values:
    """Measure a row, and report it on the terminal."""
    print(f"{row.name} …", file=sys.stderr, flush=True)
    return row.measure(homes, url)


def about(homes: dict[str, Environment]) -> list[str]:
    """Return the machine and the versions of the measurement."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    python = environments.version(homes["client"].python) or (0, 0)
    return [
        f"- {platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GB; "
        f"clients on Python {python[0]}.{python[1]}, server on {platform.python_version()} with uvloop",
        *table.versions({name: home.distributions() for name, home in homes.items()}),
    ]


def write(report: str) -> None:
    """Replace the previous report; the text above it stays."""
    written = RESULTS.read_text() if RESULTS.exists() else "# Results\n\n"
    RESULTS.write_text(f"{written.partition(MARK)[0]}{MARK}\n\n{report}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
