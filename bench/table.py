"""One table of all rows, for people. No I/O here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from bench.rows import HOMES, Row, Values

TITLES = {
    "ours": "ours",
    "plain_httpx": "httpx",
    "plain_requests": "requests",
    "plain_httpcore": "httpcore",
    "plain_urllib3": "urllib3",
    "plain_aiohttp": "aiohttp",
    "plain_pyreqwest": "pyreqwest",
    "plain_niquests": "niquests",
    "http_client": "http.client",
    "raw_socket": "raw socket",
    "generated": "generated",
    "public_sdk": "synapse-sdk",
    "plain_run": "ours, result awaited",
    "as_base64": "as base64",
    "public_run": "synapse-sdk, new process",
    "ray_task": "Ray task, new process",
    "uv": "uv and an interpreter",
    "starlette": "empty route",
    "litserve": "LitServe",
    "ray_serve": "Ray Serve",
    "plain_process": "one process",
    "local": "local runner",
    "ray_job": "Ray job",
    "plain_import": "python -c",
    "alone": "idle cores",
    "one_run": "one run",
    "before": "commit before",
}


def render(rows: Sequence[tuple[Row, Values]], subjects: Collection[str] = HOMES) -> str:
    """Return a Markdown table: medians, in brackets the ratio of ours to each peer's, and the goal."""
    head = ["figure", *(TITLES[name] for name in subjects), "to reach", ""]
    rule = ["---", *("---:" for _ in subjects), "---", "---"]
    lines = [head, rule, *(_cells(row, values, subjects) for row, values in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(_line(line, widths) for line in lines)


def verdict(row: Row, values: Values) -> bool | None:
    """Return whether a row reaches its goal; None without a goal, or without a comparison."""
    ours = values["ours"]
    bounds = [most * values[peer] for peer, most in row.ratios.items() if peer in values]
    bounds += [] if row.limit is None else [row.limit]
    return all(ours >= bound if row.more_is_better else ours <= bound for bound in bounds) if bounds else None


def _cells(row: Row, values: Values, subjects: Collection[str]) -> list[str]:
    reached = {True: "yes", False: "**no**", None: ""}[verdict(row, values)]
    return [row.name, *(_cell(name, row, values) for name in subjects), ", ".join(_targets(row)), reached]


def _cell(name: str, row: Row, values: Values) -> str:
    if name not in values:
        return ""
    value = f"{number(values[name])} {row.unit}".strip()
    return value if name == "ours" else f"{value} ({_ratio(values['ours'] / values[name])})"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _targets(row: Row) -> Iterator[str]:
    sign = "≥" if row.more_is_better else "≤"
    for peer, bound in row.ratios.items():
        yield f"{sign} {bound} of {TITLES[peer]}"
    if row.limit is not None:
        yield f"{sign} {row.limit:g} {row.unit}".strip()


def number(value: float) -> str:
    """Return a number with its significant digits."""
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    if cells[0].startswith("---"):
        return "| " + " | ".join(_rule(cell, width) for cell, width in zip(cells, widths, strict=True)) + " |"
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def _rule(cell: str, width: int) -> str:
    return "-" * (width - 1) + ":" if cell.endswith(":") else "-" * width


def versions(distributions: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield a line about the packages of each environment."""
    told = (
        *("synapse-agent-client", "httpx", "httpcore", "h11", "anyio", "requests", "urllib3", "synapse-sdk"),
        *("starlette", "uvicorn", "uvloop", "httptools", "pydantic", "uv", "ray"),
    )
    for name, found in distributions.items():
        yield f"- {name}: " + ", ".join(f"{each} {found[each]}" for each in told if each in found)
