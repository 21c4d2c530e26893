"""Warnings for a plugin's author about what causes no error: keys and files without effect, omitted methods."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from synapse_agent.plugins.config import CONFIG_FILE, REFUSED_METHODS, PluginConfig
from synapse_agent.plugins.files import plugin_file
from synapse_agent.plugins.project import unread_files
from synapse_agent.problems import Problem, quoted

CANNOT_RUN = " can't run"
"""In the warnings about actions of which each run would fail."""
_DESCRIPTIVE = frozenset(
    [
        *("name", "description", "title", "label", "summary", "readme", "tags", "keywords", "category", "categories"),
        *(
            "author",
            "authors",
            "maintainer",
            "maintainers",
            "license",
            "homepage",
            "repository",
            "documentation",
            "icon",
        ),
        *("task", "tasks", "data_type", "data_types", "supported_data_type", "annotation_category", "metadata"),
        *("input_schema", "output_schema", "input_type", "output_type", "ui_schema", "hyperparameters", "params"),
    ]
)
"""Descriptive keys, which need no effect."""
_OF_PLUGINS = frozenset(["code", "version", "actions", "env", "requires", "preload", "<<"])
_OF_ACTIONS = frozenset(["entrypoint", "method", "resources", "retryable", "timeout", "serve", "<<"])
_CURES = {
    "dependencies": "requirements go into requirements.txt, or into the call's `requirements`",
    "requirements": "requirements go into requirements.txt, or into the call's `requirements`",
    "runtime_env": "requirements go into requirements.txt, or into the call's `requirements`; variables into `env`",
    "retries": "`retryable: true` in an action makes it run again if its node is lost",
    "accelerator": "`resources: {num_gpus: 1}` in an action asks for a GPU",
    "num_gpus": "`resources: {num_gpus: 1}` in an action asks for a GPU",
    "gpu": "`resources: {num_gpus: 1}` in an action asks for a GPU",
    "concurrency": "`serve --max-concurrent-runs` limits the runs at once; in a served action it belongs in `serve`",
    "python": "`requires: {python: '>=3.11'}` chooses the interpreter",
    "python_version": "`requires: {python: '>=3.11'}` chooses the interpreter",
    "timeout": "it belongs in an action",
    "environment": "variables go into `env`",
}

_ANCHORED = re.compile(r"^([^\s:#][^:\n]*):\s+&(\w+)", re.M)
_UNSEEN = r"import \*|__getattr__|globals\(|vars\(|setattr|exec\(|sys\.modules|coding[:=]"
"""How a module defines names that are not in its text, or hides its text."""
_ENTRYPOINT = re.compile(r"(?!\d)\w+(\.(?!\d)\w+)*[.:](?!\d)\w+(\.(?!\d)\w+)*")


def advice(folder: Path, config: PluginConfig) -> tuple[str, ...]:
    """List the warnings about a plugin, one sentence each."""
    found = [*_unused_keys(config.raw, _OF_PLUGINS | _merged_keys(folder), place="")]
    actions = config.raw.get("actions")
    for name, entry in actions.items() if isinstance(actions, Mapping) else ():
        if isinstance(entry, Mapping):
            found += _unused_keys(entry, _OF_ACTIONS, place=f"actions.{name}.")
        found += _entrypoint_advice(folder, str(name), entry)
        found += _hint_at_serve(str(name), entry)
    found += [
        f"{_cannot_run(action.name)}this agent does not support `method: {action.method}`."
        for action in config.actions.values()
        if action.method in REFUSED_METHODS
    ]
    return (*found, *unread_files(folder))


def ignored_keys(config: Mapping[str, Any], action: str) -> tuple[str, ...]:
    """List the warnings about keys of a debug run's `config` for whose purpose the agent has another place."""
    actions = config.get("actions")
    entry = actions.get(action) if isinstance(actions, Mapping) else None
    places = {"": (config, _OF_PLUGINS), f"actions.{action}.": (entry, _OF_ACTIONS)}
    return tuple(
        warning
        for place, (entries, used) in places.items()
        if isinstance(entries, Mapping)
        for warning in _unused_keys([key for key in entries if key in _CURES], used, place=place, source="config")
    )


def _merged_keys(folder: Path) -> frozenset[str]:
    """Return the keys whose values other parts of the file take over, as in `<<: *defaults`."""
    text = plugin_file(folder / CONFIG_FILE, CONFIG_FILE).decode("utf-8", "replace")
    return frozenset(key for key, anchor in _ANCHORED.findall(text) if re.search(rf"\*{anchor}\b", text))


def _unused_keys(
    entries: Iterable[str], used: frozenset[str], *, place: str, source: str = CONFIG_FILE
) -> Iterator[str]:
    for key in entries:
        if key not in used and key not in _DESCRIPTIVE:
            cure = _CURES.get(str(key))
            yield f"{source}: {quoted(f'{place}{key}')} has no effect{f': {cure}' if cure else ''}."


def _entrypoint_advice(folder: Path, name: str, entry: Any) -> Iterator[str]:
    """Yield a warning if the entrypoint is malformed, or is certainly not in the plugin's files."""
    entrypoint = entry.get("entrypoint") if isinstance(entry, Mapping) else entry
    if not isinstance(entrypoint, str):
        return
    cannot_run = _cannot_run(name)
    if not _ENTRYPOINT.fullmatch(entrypoint):
        why = "which is not of the form 'package.module:attribute'"
        yield f"{cannot_run}its entrypoint is {quoted(entrypoint)}, {why}."
        return
    for module, attribute in _readings(entrypoint):
        source = _module_file(folder, module)
        if source is not None:
            if not _may_define(source, attribute):
                yield f"{cannot_run}{quoted(module)} has no {quoted(attribute)}."
            return
    module, _ = next(_readings(entrypoint))
    if _is_plain_package(folder, module):
        yield f"{cannot_run}the plugin has no module {quoted(module)}."


def _cannot_run(name: str) -> str:
    return f"{CONFIG_FILE}: {quoted(f'actions.{name}')}{CANNOT_RUN}: "


def _readings(entrypoint: str) -> Iterator[tuple[str, str]]:
    """Yield the modules that an entrypoint can name, the longest first, each with the attribute that it must have."""
    module, colon, attribute = entrypoint.partition(":")
    if colon:
        yield module, attribute.partition(".")[0]
    while not colon and "." in module:
        module, _, attribute = module.rpartition(".")
        yield module, attribute


def _module_file(folder: Path, module: str) -> Path | None:
    for root in (folder, folder / "src"):
        place = root.joinpath(*module.split("."))
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return file
    return None


def _is_plain_package(folder: Path, module: str) -> bool:
    """Return whether only the plugin can have a module, as a file of Python, since it has its package."""
    top, *rest = module.split(".")
    packages = [package for package in (folder / top, folder / "src" / top) if any(package.glob("*.py"))]
    places = [package.joinpath(*rest) for package in packages]
    return bool(rest and places) and not any(found for place in places for found in place.parent.glob(f"{place.name}*"))


def _may_define(source: Path, attribute: str) -> bool:
    """Return False if a module certainly lacks a name: its text has neither the name nor a way to define it unseen."""
    try:
        text = plugin_file(source, source.name).decode("utf-8", "replace")
    except Problem:  # such as a file over the limit
        return True
    return re.search(rf"\b{attribute}\b|{_UNSEEN}", text) is not None


def _hint_at_serve(name: str, entry: Any) -> Iterator[str]:
    method = entry.get("method") if isinstance(entry, Mapping) else None
    if isinstance(entry, Mapping) and entry.get("serve") and method != "serve":
        yield f"{CONFIG_FILE}: {quoted(f'actions.{name}.serve')} has no effect: it is for `method: serve`."
    if name == "inference" and method is None:
        yield (
            f"{CONFIG_FILE}: 'actions.inference' has no method and runs as a task, in a new process for each call; "
            "the public SDK treats it as `method: serve`."
        )
