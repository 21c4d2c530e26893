"""One table of all rows, for people. No I/O here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bench.rows import HOMES, Row, Values

TITLES = {
    "ours": "ours",
    "plain_httpx": "httpx",
    "plain_requests": "requests",
    "http_client": "http.client",
    "raw_socket": "raw socket",
    "generated": "generated",
    "public_sdk": "synapse-sdk",
}


def render(rows: Sequence[tuple[Row, Values]]) -> str:
    """Return a Markdown table: medians, in brackets what ours is of each peer's, and what was to be reached."""
    head = ["figure", *(TITLES[name] for name in HOMES), "to reach", ""]
    lines = [head, ["---", *("---:" for _ in HOMES), "---", "---"], *(_cells(row, values) for row, values in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(_line(line, widths) for line in lines)


def verdict(row: Row, values: Values) -> bool | None:
    """Tell whether a row reaches what it is to reach; None where nothing was said, or nothing to compare with."""
    ours = values["ours"]
    judged = [ours <= most * values[peer] for peer, most in row.ratios.items() if peer in values]
    judged += [] if row.limit is None else [ours <= row.limit]
    return all(judged) if judged else None


def _cells(row: Row, values: Values) -> list[str]:
    reached = {True: "yes", False: "**no**", None: ""}[verdict(row, values)]
    return [row.name, *(_cell(name, row, values) for name in HOMES), ", ".join(_targets(row)), reached]


def _cell(name: str, row: Row, values: Values) -> str:
    if name not in values:
        return ""
    value = f"{number(values[name])} {row.unit}".strip()
    return value if name == "ours" else f"{value} ({values['ours'] / values[name]:.2f})"


def _targets(row: Row) -> Iterator[str]:
    for peer, most in row.ratios.items():
        yield f"≤ {most} of {TITLES[peer]}"
    if row.limit is not None:
        yield f"≤ {row.limit:g} {row.unit}".strip()


def number(value: float) -> str:
    """Return a number with no more digits than it is worth."""
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    if cells[0].startswith("---"):
        return "| " + " | ".join(_rule(cell, width) for cell, width in zip(cells, widths, strict=True)) + " |"
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def _rule(cell: str, width: int) -> str:
    return "-" * (width - 1) + ":" if cell.endswith(":") else "-" * width


def versions(distributions: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield a line on what was measured in each environment."""
    told = ("synapse-agent-client", "httpx", "httpcore", "h11", "anyio", "requests", "urllib3", "synapse-sdk")
    for name, found in distributions.items():
        yield f"- {name}: " + ", ".join(f"{each} {found[each]}" for each in told if each in found)
