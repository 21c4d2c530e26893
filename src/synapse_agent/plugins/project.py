"""A plugin's requirements, from any of its files that may state them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from synapse_agent.plugins.files import MAX_LOCK_BYTES, plugin_file
from synapse_agent.plugins.requirement_files import REQUIREMENTS_FILE, RequirementReader
from synapse_agent.plugins.requirements import STRICT, RequirementRules, local_requirement, requirement
from synapse_agent.problems import Problem

PROJECT_FILE = "pyproject.toml"
_HASH = re.compile("(sha256|sha384|sha512):[0-9a-f]+")
"""Hash algorithms of installers; uv names them `hash`, a pylock by name."""
LOCKS = ("uv.lock", "pylock.toml")
UNREAD = {
    "Pipfile": "pipenv requirements > requirements.txt",
    "environment.yml": "list its pip packages in requirements.txt",
    "environment.yaml": "list its pip packages in requirements.txt",
    "conda.yaml": "list its pip packages in requirements.txt",
    "poetry.lock": "poetry export -o requirements.txt",
    "pdm.lock": "pdm export -o requirements.txt",
    "setup.py": "list its install_requires in requirements.txt",
    "setup.cfg": "list its install_requires in requirements.txt",
}
"""Files with requirements that this agent does not read, and what to do."""


def read_requirements(folder: Path, rules: RequirementRules = STRICT) -> tuple[str, ...]:
    """Return a plugin's requirements, in the form of `requirements`: from `requirements.txt`, else `pyproject.toml`.

    Raises `Problem` 422 `invalid_requirement` with file and line, or `invalid_plugin`.
    """
    if (folder / REQUIREMENTS_FILE).exists():
        return RequirementReader(folder, rules).lines()
    if not (folder / PROJECT_FILE).exists():
        return ()
    project = _toml(folder, PROJECT_FILE)
    needed = tuple(_dependencies(folder, project, rules))
    return (*needed, *_locked(folder)) if needed else ()


def requires_python(folder: Path) -> str | None:
    """Return the Python versions of a plugin's project, None if it states none.

    Raises `Problem` 422 `invalid_plugin`.
    """
    if not (folder / PROJECT_FILE).exists():
        return None
    wanted = _at(_toml(folder, PROJECT_FILE), "project", "requires-python")
    if wanted is None:
        return None
    with suppress(InvalidSpecifier):
        if isinstance(wanted, str):
            return str(SpecifierSet(wanted))
    message = f"{PROJECT_FILE}: project.requires-python is {wanted!r:.100}, not a version specifier such as '>=3.11'."
    raise Problem(422, "invalid_plugin", message)


@lru_cache(1000)
def release_python(folder: Path) -> str | None:
    """Do the same for an immutable folder, and remember it."""
    return requires_python(folder)


@lru_cache(1000)
def release_requirements(folder: Path, rules: RequirementRules) -> tuple[str, ...]:
    """Do the same for an immutable folder, and remember it."""
    return read_requirements(folder, rules)


def unread_files(folder: Path) -> list[str]:
    """Return warnings about files with requirements that the agent does not read."""
    if (folder / REQUIREMENTS_FILE).exists():
        return []
    has_project = bool(read_requirements(folder, RequirementRules(urls=True)))
    return [
        f"{name} is not read: {cure}."
        for name, cure in UNREAD.items()
        if (folder / name).is_file() and not (has_project and name.startswith("setup."))
    ]


def _dependencies(folder: Path, project: Mapping[str, Any], rules: RequirementRules) -> Iterator[str]:
    entries = _at(project, "project", "dependencies") or []
    sources = _at(project, "tool", "uv", "sources") or {}
    if not isinstance(entries, list) or not isinstance(sources, dict):
        raise _invalid("project.dependencies must be a list, and tool.uv.sources a table")
    for index, entry in enumerate(entries):
        where = f"{PROJECT_FILE}: project.dependencies[{index}]"
        if not isinstance(entry, str):
            raise _invalid(f"project.dependencies[{index}] must be text")
        line = requirement(entry, where, rules)
        name = canonicalize_name(Requirement(line).name)
        source = next((value for key, value in sources.items() if canonicalize_name(key) == name), None)
        yield line if source is None else _from_source(folder, name, source, rules)


def _from_source(folder: Path, name: str, source: Any, rules: RequirementRules) -> str:
    """Return the line of a package that is not from an index, which may have another package of that name."""
    path = source.get("path") if isinstance(source, dict) else None
    place = (folder / path).resolve() if isinstance(path, str) else None
    if place is not None and place.exists() and (rules.urls or place.is_relative_to(folder.resolve())):
        return local_requirement(place)
    raise _invalid(
        f"tool.uv.sources gets {name} from {source!r:.100}, which is not a path in the plugin. "
        "Ship the package with the plugin, or remove the source"
    )


def _locked(folder: Path) -> Iterator[str]:
    """Yield a constraint for each package of the lock beside the project, so that its versions are used."""
    for name in LOCKS:
        if (folder / name).exists():
            packages = _toml(folder, name).get("package" if name == "uv.lock" else "packages", [])
            for package in packages if isinstance(packages, list) else []:
                yield from _pinned(package, name)
            return


def _pinned(package: Mapping[str, Any], lock: str) -> Iterator[str]:
    name, version = package.get("name"), package.get("version")
    source = package.get("source", {})
    is_elsewhere = any(kind in package for kind in ("vcs", "directory", "archive")) or not (
        lock != "uv.lock" or "registry" in source
    )
    if not isinstance(name, str) or not isinstance(version, str) or is_elsewhere:
        return
    markers = [package["marker"]] if "marker" in package else package.get("resolution-markers", [])
    hashes = "".join(f" --hash={each}" for each in sorted(_hashes(package)))
    for marker in [each for each in markers if _is_known(each)] or ([] if markers else [""]):
        text = f"{name}=={version}" + (f" ; {marker}" if marker else "")
        yield f"-c {requirement(text, f'{lock}: {name}')}{hashes}"


def _hashes(package: Mapping[str, Any]) -> set[str]:
    """Return the hashes of a package's files: the installer accepts no others."""
    files = [file for file in (*package.get("wheels", ()), package.get("sdist")) if isinstance(file, dict)]
    by_name = [f"{name}:{digest}" for file in files for name, digest in dict(file.get("hashes", {})).items()]
    return {each for each in (*by_name, *(file.get("hash") for file in files)) if each and _HASH.fullmatch(each)}


def _is_known(marker: str) -> bool:
    """Return whether a marker depends on the machine only; a lock's may depend on extras and groups of its project."""
    try:
        Marker(marker)
    except InvalidMarker:
        return False
    return "extras" not in marker and "dependency_groups" not in marker


def _toml(folder: Path, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(plugin_file(folder / name, name, most=MAX_LOCK_BYTES).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Problem(422, "invalid_plugin", f"{name} is not TOML: {error}") from error


def _at(table: Any, *keys: str) -> Any:
    for key in keys:
        table = table.get(key) if isinstance(table, dict) else None
    return table


def _invalid(what: str) -> Problem:
    return Problem(422, "invalid_requirement", f"{PROJECT_FILE}: {what}.")
