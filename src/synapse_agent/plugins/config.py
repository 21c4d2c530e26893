"""A plugin's configuration: its `config.yaml`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sized
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from synapse_agent.plugins.files import MAX_FILE_BYTES, plugin_file
from synapse_agent.plugins.resources import Resources
from synapse_agent.plugins.serving import ServeOptions
from synapse_agent.problems import Problem, quoted

CONFIG_FILE = "config.yaml"
DEFAULT_VERSION = "0.1.0"
DEFAULT_METHOD = "task"
METHODS = ("local", "task", "job", "serve")
REFUSED_METHODS = ("restapi",)

_MAX_WRITTEN_OUT = 4 * MAX_FILE_BYTES
"""Limit on the values, and on their characters, once aliases are replaced; no config has more without aliases."""
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
"""YAML 1.1's booleans; every scalar is read as text."""


class _TextLoader(yaml.SafeLoader):
    """Reads every scalar as written (`1.10`, `yes`, `2024-01-01`); only null stays null."""

    _merged = 0
    """Entries that merges have copied."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own class attribute, replaced, never mutated
        first: [(tag, pattern) for tag, pattern in resolvers if tag == "tag:yaml.org,2002:null"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge what `<<` names, below a mapping's own keys; PyYAML's implementation has no limit for nested merges."""
        merges = [value for key, value in node.value if _is_merge(key)]
        if not merges:
            return
        own = [(key, value) for key, value in node.value if not _is_merge(key)]
        node.value = own  # a mapping that merges itself has nothing to add
        merged: dict[Any, tuple[yaml.Node, yaml.Node]] = {}
        for source in self._sources(merges):
            self.flatten_mapping(source)
            self._merged += len(source.value)
            if self._merged > _MAX_WRITTEN_OUT:
                raise yaml.constructor.ConstructorError(
                    None, None, "merges (<<) that enlarge it too much", node.start_mark
                )
            for key, value in source.value:
                merged.setdefault(_identity(key), (key, value))
        node.value = [*(pair for name, pair in merged.items() if name not in {_identity(key) for key, _ in own}), *own]

    def _sources(self, merges: list[yaml.Node]) -> Iterator[yaml.MappingNode]:
        for each in merges:
            for source in each.value if isinstance(each, yaml.SequenceNode) else [each]:
                if not isinstance(source, yaml.MappingNode):
                    raise yaml.constructor.ConstructorError(None, None, "<< must name a mapping", source.start_mark)
                yield source


def _is_merge(key: yaml.Node) -> bool:
    return isinstance(key, yaml.ScalarNode) and key.value == "<<" and key.style is None


def _identity(key: yaml.Node) -> Any:
    return (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)


@dataclass(frozen=True, slots=True)
class Action:
    """One entry of `actions`: what to call, and how its caller gets the result."""

    name: str
    entrypoint: str
    method: str = DEFAULT_METHOD
    description: str = ""
    resources: Resources = Resources()  # noqa: RUF009 - immutable
    """The resources that it requests."""
    retryable: bool = False
    """Whether it may be run again if its node was lost during the run."""
    timeout: float | None = None
    """Its time limit in seconds; the agent's own limit also applies."""
    serve: ServeOptions = ServeOptions()  # noqa: RUF009 - immutable
    """How workers hold it, if its method is `serve`."""

    @property
    def is_served(self) -> bool:
        """Whether workers keep it loaded between runs."""
        return self.method == "serve"

    @property
    def can_run(self) -> bool:
        """Whether `PluginConfig.action` returns it."""
        return bool(self.entrypoint) and self.method not in REFUSED_METHODS


@dataclass(frozen=True, slots=True)
class PluginConfig:
    """A validated `config.yaml`; unknown keys are only in `raw`."""

    code: str
    version: str
    name: str
    actions: Mapping[str, Action]
    env: Mapping[str, str]
    requires_python: str | None
    preload: tuple[str, ...] | bool | None
    """What is imported once for all runs: modules, those of entrypoints (True), nothing (False); None: automatic."""
    raw: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> PluginConfig:
        """Read `folder/config.yaml`; raise `Problem` 422 `invalid_plugin` for any fault."""
        return cls.from_mapping(read_config(folder))

    @classmethod
    def from_yaml(cls, text: bytes) -> PluginConfig:
        """Parse the content of a `config.yaml`, like `read`."""
        return cls.from_mapping(parse_config(text))

    @classmethod
    def from_mapping(cls, raw: Mapping[str, Any]) -> PluginConfig:
        """Validate a config, from YAML or JSON; raise `Problem` 422 `invalid_plugin` for any fault."""
        code = _text(raw, "code")
        return cls(
            code=code,
            version=_text(raw, "version", DEFAULT_VERSION),
            name=_text(raw, "name", code),
            actions=_actions(_mapping(raw, "actions")),
            env=_env(_mapping(raw, "env")),
            requires_python=_requires_python(_mapping(raw, "requires")),
            preload=_preload(raw.get("preload")),
            raw=raw,
        )

    def action(self, name: str) -> Action:
        """Return the action with that name, ready to run.

        Raises `Problem` 422: `unknown_action` with the existing ones, `method_not_supported`, or `invalid_plugin`
        if the entry has no entrypoint.
        """
        action = self.actions.get(name)
        if action is None:
            raise _unknown_action(name, self)
        if action.method in REFUSED_METHODS:
            raise _method_not_supported(action)
        if not action.entrypoint:
            raise _invalid(
                f"actions.{name}.entrypoint", "is missing. Set it to what to call, as `package.module:attribute`"
            )
        return action


def read_config(folder: Path) -> dict[str, Any]:
    """Read `folder/config.yaml` as a mapping of texts, unchecked; `{}` for an empty file."""
    try:
        return parse_config(plugin_file(folder / CONFIG_FILE, CONFIG_FILE))
    except FileNotFoundError as error:
        raise invalid_plugin(f"the plugin's folder has no {CONFIG_FILE}{rename_hint(folder)}") from error


def is_misnamed_config(name: str) -> bool:
    """Return whether a file should probably be called `config.yaml`, judged by its name."""
    return name.rpartition("/")[2].lower() in ("config.yml", "config.yaml")


def rename_hint(folder: Path) -> str:
    """Return the end of a message: the file to rename in a folder without `config.yaml`."""
    with suppress(OSError):
        misnamed = next((path.name for path in sorted(folder.iterdir()) if is_misnamed_config(path.name)), None)
        return f"; rename its {misnamed} to {CONFIG_FILE}" if misnamed else ""
    return ""


def parse_config(text: bytes) -> dict[str, Any]:
    """Parse the content of a `config.yaml`, like `read_config`."""
    try:
        raw = yaml.load(text, Loader=_TextLoader)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:  # PyYAML raises these for a tag's value
        raise invalid_plugin(f"{CONFIG_FILE} is not YAML: {_yaml_fault(error)}") from error
    except RecursionError as error:
        raise invalid_plugin(f"{CONFIG_FILE} is nested too deeply") from error
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise invalid_plugin(f"{CONFIG_FILE} must be a mapping, not {_kind(raw)}")
    if _is_larger_than_written(raw):
        raise invalid_plugin(f"{CONFIG_FILE} has aliases (*) that enlarge it too much, or endlessly")
    return raw


def _is_larger_than_written(raw: Any) -> bool:
    """Return whether reused values, nested in each other, enlarge a config beyond the size of its text."""
    size, left = 0, [raw]
    while left and size <= _MAX_WRITTEN_OUT:
        value = left.pop()
        size += 1 + (len(value) if isinstance(value, Sized) else 0)
        if isinstance(value, Mapping):
            left += [*value, *value.values()]
        elif isinstance(value, list | tuple):
            left += value
    return size > _MAX_WRITTEN_OUT


def merge_config(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Merge one config into another, key by key and level by level; anything but two mappings is replaced."""
    merged = dict(base)
    for key, value in override.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = merge_config(below, value)
        else:
            merged[key] = value
    return merged


def _actions(entries: Mapping[str, Any]) -> dict[str, Action]:
    return {str(name): _action(str(name), entry) for name, entry in entries.items()}


def _action(name: str, entry: Any) -> Action:
    where = f"actions.{name}"
    if isinstance(entry, str):
        return Action(name, entry)
    if entry is None:
        return Action(name, "")
    if not isinstance(entry, Mapping):
        raise _invalid(where, f"must be a mapping with an `entrypoint`, not {_kind(entry)}")
    method = _text(entry, "method", DEFAULT_METHOD, where=where)
    if method not in METHODS + REFUSED_METHODS:
        raise _invalid(f"{where}.method", f"is {method!r}. Known: {', '.join(METHODS)}")
    return Action(
        name,
        entrypoint=_text(entry, "entrypoint", "", where=where),
        method=method,
        description=_text(entry, "description", "", where=where),
        resources=_resources(entry, where),
        retryable=_flag(entry, "retryable", where=where),
        timeout=_seconds(entry, "timeout", where=where),
        serve=_serve_options(entry, where),
    )


def _seconds(entry: Mapping[str, Any], key: str, *, where: str) -> float | None:
    text = _text(entry, key, "", where=where)
    with suppress(ValueError):
        if not text or 0 < float(text) < math.inf:
            return float(text) if text else None
    raise _invalid(_path(where, key), f"is {text!r}. It must be a number of seconds above 0")


def _resources(entry: Mapping[str, Any], where: str) -> Resources:
    try:
        return Resources.from_config(_mapping(entry, "resources", where=where))
    except ValueError as error:
        raise _invalid(f"{where}.resources", f"is invalid: {error}") from error


def _serve_options(entry: Mapping[str, Any], where: str) -> ServeOptions:
    try:
        return ServeOptions.from_config(_mapping(entry, "serve", where=where))
    except ValueError as error:
        raise _invalid(f"{where}.serve", f"is invalid: {error}") from error


def _env(entries: Mapping[str, Any]) -> dict[str, str]:
    env = {str(name): _env_value(str(name), value) for name, value in entries.items() if value is not None}
    for name, value in env.items():
        if not name or "=" in name or "\0" in name + value:
            raise _invalid(f"env.{name}", "is not a valid environment variable")
    return env


def _env_value(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):  # from a debug run's `config`, which is JSON
        return json.dumps(value)
    raise _invalid(f"env.{name}", f"must be text, not {_kind(value)}. Put it into quotes")


def _requires_python(requires: Mapping[str, Any]) -> str | None:
    text = _text(requires, "python", "", where="requires")
    try:
        SpecifierSet(text)
    except InvalidSpecifier as error:
        raise _invalid("requires.python", f"is {text!r}, not a version specifier such as '>=3.10,<3.13'") from error
    return text or None


def _preload(value: Any) -> tuple[str, ...] | bool | None:
    if value is None or value == "auto":
        return None
    if isinstance(value, list):
        names = [str(each).strip() for each in value]
        for name in names:
            if not all(part.isidentifier() for part in name.split(".")):
                raise _invalid("preload", f"contains {name!r}, not a module such as 'numpy' or 'my_plugin.model'")
        return tuple(dict.fromkeys(names)) or False
    text = str(value).lower()
    if isinstance(value, str | bool) and text in _FLAGS:
        return _FLAGS[text]
    raise _invalid("preload", f"must be true, false, auto or a list of modules, not {_kind(value)}")


def _mapping(raw: Mapping[str, Any], key: str, *, where: str = "") -> Mapping[str, Any]:
    value = raw.get(key)
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        raise _invalid(_path(where, key), f"must be a mapping, not {_kind(value)}")
    return value


def _flag(raw: Mapping[str, Any], key: str, *, where: str) -> bool:
    value = raw.get(key)
    if value is None:
        return False
    if isinstance(value, str) and value.lower() in _FLAGS:
        return _FLAGS[value.lower()]
    if not isinstance(value, bool):
        raise _invalid(_path(where, key), f"must be true or false, not {_kind(value)}")
    return value


def _text(raw: Mapping[str, Any], key: str, default: str | None = None, *, where: str = "") -> str:
    """Return a text, or a number as text; `default` if the key is absent or null."""
    path = _path(where, key)
    value = raw.get(key)
    if value is None:
        if default is None:
            raise _invalid(path, "is missing")
        return default
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise _invalid(path, f"must be text, not {_kind(value)}")
    text = str(value).strip()
    if not text and default != "":
        raise _invalid(path, "is empty")
    return text


def _path(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list) else f"{value!r:.60}"


def _invalid(key: str, what: str) -> Problem:
    return invalid_plugin(f"{CONFIG_FILE}: `{key}` {what}", key=key)


def invalid_plugin(message: str, **extra: Any) -> Problem:
    """Return the problem of a plugin whose files are invalid."""
    return Problem(422, "invalid_plugin", message, **extra)


def _unknown_action(name: str, config: PluginConfig) -> Problem:
    there = sorted(config.actions)
    example = "such as {train: {entrypoint: 'plugin.train:main'}}"
    known = f"Available: {', '.join(there)}" if there else f"Its config has no `actions`, {example}"
    return Problem(422, "unknown_action", f"{config.code} has no action {quoted(name)}. {known}", actions=there)


def _method_not_supported(action: Action) -> Problem:
    what = f"action {action.name!r} has method {action.method!r}"
    message = f"{what}, which this agent does not support. Supported: {', '.join(METHODS)}"
    return Problem(422, "method_not_supported", message, method=action.method)


def _yaml_fault(error: Exception) -> str:
    """Return a YAML error with its line and column, counted like an editor."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return one_line(error)


def one_line(error: Exception) -> str:
    """Return an error's message on one line."""
    return " ".join(str(error).split())
