"""Results as people read them: tables and trees."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from synapse_agent.cli.terminal.sanitize import identifier, one_line, safe
from synapse_agent.util.sizes import show_size

MOST_ITEMS = 200
"""Items of a list that a tree shows; the JSON has all."""
MOST_IN_ROW = 30
LONGEST_IN_ROW = 24
LONGEST_TEXT = 2000
LONGEST_LINE = 80
"""Characters of an object that is shown in one line."""
_FOR_PROGRAMS = frozenset(["idempotency_key", "status_code"])
_MADE_ID = re.compile(r"[0-9a-f]{32}")
SHOWN_JOB_ID = 8
SHOWN_ID = 12
"""Shown length of an environment's ID."""
STATUS_STYLES = {
    "SUCCEEDED": "green",
    "RUNNING": "cyan",
    "PENDING": "yellow",
    "FAILED": "red",
    "STOPPED": "magenta",
}

FINDING_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "fault": ("✗", "red"), "skipped": ("·", "dim")}


def releases(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Show releases, one per row."""
    if not found:
        return Text("No releases are cached. Cache one with: synapse-agent create PLUGIN@VERSION", "dim")
    table = _table("ID", "Release", "Actions", "Cached")
    for release in found:
        actions = ", ".join(str(each.get("name")) for each in _mappings(release.get("actions")))
        table.add_row(_text(release.get("id")), _name(release), _text(actions), _when(release.get("created_at")))
    return table


def release(found: Mapping[str, Any]) -> RenderableType:
    """Show a release and its actions."""
    tree = Tree(_name(found))
    if found.get("description"):
        tree.add(_text(found["description"], style="dim"))
    actions = tree.add(Text("actions", "bold"))
    for action in _mappings(found.get("actions")):
        label = Text.assemble((one_line(str(action.get("name"))), "cyan"), (f"  {_line(action.get('method'))}", "dim"))
        if action.get("description"):
            label.append(f"  {one_line(str(action['description']))}")
        actions.add(label)
    for name, value in found.items():
        if name not in ("plugin", "version", "description", "actions") and value != []:
            _add(tree, name, value)
    return tree


def jobs(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Show jobs, one per row."""
    if not found:
        return Text("No jobs found.", "dim")
    table = _table("Job", "Status", "Release", "Action", "Created", "Took")
    names = _short_ids([str(job.get("job_id")) for job in found])
    table.columns[0].no_wrap = max(map(len, names)) <= LONGEST_IN_ROW  # keeps it easy to copy
    for name, job in zip(names, found, strict=True):
        table.add_row(
            Text(name),
            _status(job.get("status")),
            _text(job.get("release") or "(from source)"),
            _text(job.get("action")),
            _when(job.get("created_at")),
            Text(_duration(job)),
        )
    return table


def _short_ids(ids: Sequence[str]) -> list[str]:
    """Return IDs in a form that can be copied from a narrow terminal: only the beginning of generated ones."""
    made = [each for each in ids if _MADE_ID.fullmatch(each)]
    length = SHOWN_JOB_ID
    while len({each[:length] for each in made}) < len(set(made)):
        length += 1
    return [each[:length] if _MADE_ID.fullmatch(each) else identifier(each) for each in ids]


def job(found: Mapping[str, Any]) -> RenderableType:
    """Show a job without what only a program needs, and without what is empty."""
    caller = {name: held for name, held in _mapping(found.get("caller")).items() if name != "request_id"}
    shown = {**found, "caller": caller, "error": _error(found.get("error"))}
    return whole_job({name: held for name, held in shown.items() if name not in _FOR_PROGRAMS and held not in ([], {})})


def _error(found: object) -> object:
    """Return an error as one text, if it has nothing besides its type and message."""
    facts = {name: held for name, held in _mapping(found).items() if name != "job_id"}
    return f"{facts['error_type']}: {facts['message']}" if facts.keys() == {"error_type", "message"} else facts or None


def whole_job(found: Mapping[str, Any]) -> RenderableType:
    """Show all details of a job."""
    tree = Tree(Text.assemble((f"{identifier(str(found.get('job_id')))}  ", "bold"), _status(found.get("status"))))
    for name, value in found.items():
        if name in ("job_id", "status") or value is None:
            continue
        if name in ("created_at", "started_at", "finished_at"):
            tree.add(Text.assemble((f"{name}: ", "cyan"), _when(value)))
        elif name == "error" and isinstance(value, Mapping):
            _fill(tree.add(Text(f"{name}:", "cyan")), value)
        elif name == "events":
            events = tree.add(Text.assemble((f"{name}: ", "cyan"), (_summary(_sequence(value)), "dim")))
            for event in _mappings(value):
                _add(events, f"{_when(event.get('at'))} {_line(event.get('event'))}", event.get("data"))
        else:
            _add(tree, name, value)
    return tree


def served_action(found: Mapping[str, Any]) -> RenderableType:
    """Show a served action, its workers, and what they printed last."""
    tree = Tree(Text.assemble((f"{_line(found.get('name'))}  ", "bold"), _status(found.get("status"))))
    workers = _table("Worker", "Node", "Calls", "Memory")
    for each in _mappings(found.get("workers")):
        memory = each.get("memory")
        workers.add_row(
            _status(each.get("status")),
            _text(each.get("node_id")),
            _text(each.get("calls")),
            Text(show_size(memory) if isinstance(memory, int) else ""),
        )
    if workers.row_count:
        tree.add(workers)
    tree.add(Text.assemble(("since: ", "cyan"), _when(found.get("since"))))
    for name in ("calls", "waiting", "error"):
        if found.get(name) is not None:
            _add(tree, name, found[name])
    if found.get("log"):
        tree.add(Text.assemble(("log:\n", "cyan"), safe(str(found["log"]).rstrip())))
    return tree


def served(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Show served actions, one per row."""
    if not found:
        return Text("No served actions are loaded. The first call of an action with `method: serve` loads it.", "dim")
    table = _table("Name", "Status", "Workers", "Calls", "Waiting", "Since")
    for each in found:
        workers, *numbers = len(_mappings(each.get("workers"))), each.get("calls"), each.get("waiting")
        shown = [_text(number) for number in (workers, *numbers)]
        table.add_row(_text(each.get("name")), _status(each.get("status")), *shown, _when(each.get("since")))
    return table


def health(found: Mapping[str, Any]) -> RenderableType:
    """Show an agent's health."""
    is_ok = found.get("status") == "ok"
    tree = Tree(Text(_line(found.get("status")), "bold green" if is_ok else "bold red"))
    for name, value in found.items():
        if name == "warm" and isinstance(value, Mapping):
            value = {key: show_size(held) if "memory" in key else held for key, held in value.items()}
        if name != "status":
            _add(tree, name, value)
    return tree


def nodes(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Show nodes, one per row, with their resources in use."""
    table = _table("Node", "Host", "Address", "State", "CPUs", "Memory", "GPUs")
    for node in found:
        table.add_row(
            _text(node.get("node_id")),
            _text(node.get("host_name")),
            _text(node.get("ip")),
            _text(node.get("state")),
            _used(node.get("cpu"), "{:g}".format),
            _used(node.get("memory"), lambda amount: show_size(int(amount))),
            _text(len(_sequence(node.get("gpus")))),
        )
    return table


def files(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Show the files of a job, one per row."""
    table = _table("Name", "Size", "Kind")
    for file in found:
        table.add_row(_text(file.get("name")), show_size(int(file.get("size") or 0)), _text(file.get("media_type")))
    return table


def gpus(found: Mapping[str, Any]) -> RenderableType:
    """Show GPUs and their load, one per row."""
    if not found.get("gpus"):
        return Text("The agent has found no GPUs.", "dim")
    table = _table("Node", "GPU", "Name", "Used by runs", "Busy", "Memory")
    for gpu in _mappings(found["gpus"]):
        memory = "" if gpu.get("memory_total") is None else f"{gpu.get('memory_used')} of {gpu['memory_total']} MB"
        table.add_row(
            _text(gpu.get("node_id")),
            _text(gpu.get("uuid")),
            _text(gpu.get("name")),
            Text(_percent(gpu.get("used"), 100)),
            Text(_percent(gpu.get("utilization_gpu"), 1)),
            _text(memory),
        )
    return table


def agents(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Show the named agents; instead of a token, only whether there is one."""
    if not found:
        return Text("No named agents. Name one with: synapse-agent use NAME --url URL", "dim")
    table = _table("", "Name", "Address", "Token")
    for agent in found:
        mark = Text("→", "green") if agent["current"] else Text("")
        table.add_row(mark, _text(agent["name"]), _text(agent["url"]), Text("kept" if agent["has_token"] else "none"))
    return table


def backup(found: Mapping[str, Any]) -> RenderableType:
    """Show the path of a backup, and its size."""
    return Text.assemble(_line(found.get("path")), (f"  {show_size(int(found.get('size') or 0))}", "dim"))


def environments(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Show environments, one per row."""
    table = _table("ID", "Python", "Size", "Last used", "In use", "Requirements")
    for environment in found:
        known = environment["requirements"]
        table.add_row(
            _text(environment["id"][:SHOWN_ID]),
            _text(f"{environment['python'] or 'unknown'}{'' if environment['usable'] else ' (gone)'}"),
            Text(show_size(environment["size"])),
            _when(environment["last_used"]),
            Text("yes" if environment["in_use"] else "no"),
            _text("unknown" if known is None else ", ".join(known) or "none"),
        )
    return table


def storages(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Show the storages and caches of plugins, one per row."""
    table = _table("Plugin", "Kind", "Size", "Last used", "In use")
    for each in found:
        table.add_row(
            _text(f"{each['plugin']}{' (debug runs)' if each['debug'] else ''}"),
            Text(each["kind"]),
            Text(show_size(each["size"])),
            _when(each["last_used"]),
            Text("yes" if each["in_use"] else "no"),
        )
    return table


def findings(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Show the findings of `doctor`, with the fix below each."""
    table = _table("", "Check", "Found")
    for finding in found:
        mark, style = FINDING_MARKS[finding["status"]]
        words = Text(one_line(finding["found"]), "dim" if finding["status"] == "skipped" else "")
        if finding["fix"]:
            words.append(f"\n→ {one_line(finding['fix'])}", "bold")
        table.add_row(Text(mark, style), _text(finding["check"]), words)
    return table


def value(result: Any) -> RenderableType:
    """Show any JSON value: text as it is, objects with the same keys as a table, everything else as a tree."""
    if isinstance(result, str):
        return Text(safe(result))
    if _is_table(result):
        return _table_of(result)
    if _is_row(result):
        return _row(result)
    if isinstance(result, (dict, list)) and result:
        tree = Tree(Text(_summary(result), "dim"))
        _fill(tree, result)
        return tree
    return _scalar(result)


def _fill(tree: Tree, holder: Mapping[str, Any] | Sequence[Any]) -> None:
    items = list(holder.items()) if isinstance(holder, Mapping) else list(enumerate(holder))
    for name, held in items[:MOST_ITEMS]:
        _add(tree, name, held)
    if len(items) > MOST_ITEMS:
        tree.add(Text(f"… {len(items) - MOST_ITEMS} more; --json has them", "dim"))


def _add(tree: Tree, name: object, held: Any) -> None:
    label = Text.assemble((f"{one_line(str(name))}: ", "cyan"))
    if _is_row(held):
        tree.add(label.append_text(_row(held)))
    elif isinstance(held, dict) and held.keys() == {"$file"} and isinstance(held["$file"], dict):
        tree.add(label.append_text(_file(held["$file"])))
    elif isinstance(held, list) and len(held) > 1 and _is_table(held):
        tree.add(label.append(_summary(held), "dim")).add(_table_of(held))
    elif (line := _line_of(held)) is not None:
        tree.add(label.append_text(line))
    elif isinstance(held, (dict, list)) and held:
        _fill(tree.add(label.append(_summary(held), "dim")), held)
    else:
        tree.add(label.append_text(_scalar(held)))


def _is_row(held: Any) -> bool:
    """Return whether a list contains only numbers and short texts, which are best read side by side."""
    return isinstance(held, list) and all(
        len(each) <= LONGEST_IN_ROW if isinstance(each, str) else not isinstance(each, (dict, list)) for each in held
    )


def _file(reference: Mapping[str, Any]) -> Text:
    size = reference.get("size")
    return Text.assemble(
        _line(reference.get("name") or reference.get("id")),
        (f"  file, {show_size(size)}" if isinstance(size, int) else "  file", "dim"),
    )


def _line_of(held: Any) -> Text | None:
    """Return an object of a few short scalars as one line; None for anything else."""
    if not isinstance(held, dict) or not held or any(isinstance(each, (dict, list)) for each in held.values()):
        return None
    line = Text(", ").join(
        Text.assemble((f"{one_line(str(name))}: ", "cyan"), _scalar(each)) for name, each in held.items()
    )
    return Text.assemble("{", line, "}") if len(line) <= LONGEST_LINE and "\n" not in line.plain else None


def _row(held: Sequence[Any]) -> Text:
    shown = json.dumps(held[:MOST_IN_ROW], ensure_ascii=False)
    if len(held) > MOST_IN_ROW:
        shown = f"{shown[:-1]}, … {len(held) - MOST_IN_ROW} more]"
    return Text(safe(shown), "green")


def _summary(held: Mapping[str, Any] | Sequence[Any]) -> str:
    kind = "key" if isinstance(held, Mapping) else "item"
    return f"{len(held)} {kind}{'' if len(held) == 1 else 's'}"


def _is_table(result: Any) -> bool:
    """Return whether a list contains only objects with the same few keys and scalar values."""
    if not isinstance(result, list) or not 1 <= len(result) <= MOST_ITEMS or not isinstance(result[0], dict):
        return False
    keys = list(result[0])
    return 1 <= len(keys) <= 8 and all(
        isinstance(each, dict)
        and list(each) == keys
        and not any(isinstance(held, (dict, list)) for held in each.values())
        for each in result
    )


def _table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(*(one_line(key) for key in rows[0]))
    for row in rows:
        table.add_row(*(_scalar(held) for held in row.values()))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    return table


def _scalar(held: Any) -> Text:
    if isinstance(held, str):
        shown = safe(held)
        return Text(shown if len(shown) <= LONGEST_TEXT else f"{shown[:LONGEST_TEXT]}… ({len(shown)} characters)")
    return Text(json.dumps(held, ensure_ascii=False), "green")


def _name(found: Mapping[str, Any]) -> Text:
    text = Text(f"{_line(found.get('plugin'))}@{_line(found.get('version'))}", "bold")
    if found.get("name") and found["name"] != found.get("plugin"):
        text.append(f"  {one_line(str(found['name']))}", "not bold")
    return text


def _status(status: object) -> Text:
    return Text(_line(status), STATUS_STYLES.get(str(status), ""))


def _when(stamp: object) -> Text:
    """Show a time in the reader's time zone."""
    moment = _moment(stamp)
    return _text(stamp) if moment is None else Text(moment.astimezone().strftime("%Y-%m-%d %H:%M:%S"))


def _duration(job: Mapping[str, Any]) -> str:
    began, ended = _moment(job.get("started_at")), _moment(job.get("finished_at"))
    if began is None:
        return ""
    seconds = ((ended or datetime.now(UTC)) - began).total_seconds()
    minutes, rest = divmod(int(seconds), 60)
    return f"{seconds:.1f} s" if seconds < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _moment(stamp: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(stamp) if isinstance(stamp, str) else None
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo else None


def _used(amount: object, shown: Callable[[float], str]) -> Text:
    """Show how much of an amount is in use."""
    if not isinstance(amount, Mapping):
        return Text("")
    used, total = amount.get("used"), amount.get("total")
    if not isinstance(used, int | float) or not isinstance(total, int | float):
        return Text("")
    return Text(f"{shown(used)} of {shown(total)}")


def _percent(part: object, factor: float) -> str:
    return f"{part * factor:.0f} %" if isinstance(part, int | float) else ""


def _mapping(held: object) -> Mapping[str, Any]:
    return held if isinstance(held, Mapping) else {}


def _sequence(entries: object) -> Sequence[Any]:
    return entries if isinstance(entries, list) else ()


def _mappings(entries: object) -> list[Mapping[str, Any]]:
    return [each for each in entries if isinstance(each, Mapping)] if isinstance(entries, list) else []


def _text(held: object, *, style: str = "") -> Text:
    return Text(_line(held), style)


def _line(held: object) -> str:
    return "" if held is None else one_line(str(held))
