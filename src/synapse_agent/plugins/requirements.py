"""Requirements: which are valid, and the form in which an environment is requested.

That form is a set of lines, each with the same meaning everywhere:

    pillow>=9.0.0                           a requirement in canonical form
    six==1.16.0 --hash=sha256:…             one with a checked file
    -c numpy<2                              a constraint
    /releases/…/wheels/a.whl#sha256:…       a package in a plugin, and the hash of its content
    --pre                                   an option of the installer
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from synapse_agent.problems import Problem, quoted
from synapse_agent.storage.trees import file_digest, tree_digest

ARCHIVE_SUFFIXES = (".whl", ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz")

_MAX_REMEMBERED = 200
"""Longest requirement that is worth remembering, in characters."""
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_EXTRAS = re.compile(r"(?P<path>.*?)(?P<extras>\[[A-Za-z0-9._, -]*\])?")
_CONDA = re.compile(r"[\w.-]+=[\w.!+*]+(=\w+)?")
URLS_ALLOWED = "need an agent that allows them (`serve --allow-requirement-urls`)"
_WANTED = "use a package's name with extras, versions and markers, such as 'pillow>=9.0.0'"


@dataclass(frozen=True, slots=True)
class RequirementRules:
    """What requirements may refer to besides packages of the agent's own indexes."""

    urls: bool = False
    """Addresses, and paths outside of the plugin: the operator's decision."""


STRICT = RequirementRules()


def check_requirements(requirements: Iterable[str], rules: RequirementRules = STRICT) -> tuple[str, ...]:
    """Return a call's requirements in canonical form; raise `Problem` 422 `invalid_requirement` for an invalid one.

    Valid ones are PEP 508 names with extras, versions and markers. Options and paths are rejected, and addresses unless
    the rules allow them.
    """
    return tuple(requirement(text, f"requirements[{index}]", rules) for index, text in enumerate(requirements))


def requirement(text: str, place: str, rules: RequirementRules = STRICT) -> str:
    """Return one requirement in canonical form; `place` is its name in a message."""
    if not text.isprintable():  # a line end would add a line to the installer's file
        raise invalid_requirement(text, place)
    if rules.urls and _ADDRESS.match(text) and len(text.split()) == 1:
        return text
    try:
        canonical = _remembered(text, rules.urls) if len(text) <= _MAX_REMEMBERED else _canonical(text, rules.urls)
    except InvalidRequirement as error:
        raise invalid_requirement(text, place) from error
    if canonical is None:
        raise invalid_requirement(text, place)
    return canonical


def local_requirement(path: Path, extras: str = "") -> str:
    """Return the line of a package on this machine, named by its content as well."""
    digest = tree_digest(path) if path.is_dir() else file_digest(path)
    return f"{path}{extras}#{digest}"


def local_path(line: str) -> tuple[Path, str] | None:
    """Return the path of a line that `local_requirement` returned, and its extras; None for any other line."""
    if not line.startswith(os.sep):
        return None
    match = _EXTRAS.fullmatch(line.rpartition("#")[0])
    return (Path(match["path"]), match["extras"] or "") if match else None


def without_place(line: str) -> str:
    """Return a line independent of the plugin's place, to compare and to name environments."""
    option, space, rest = line.rpartition(" ") if line.startswith("--find-links ") else ("", "", line)
    local = local_path(rest)
    return f"{option}{space}{local[0].name}{local[1]}#{rest.rpartition('#')[2]}" if local else line


def environment_key(lines: Iterable[str], *python: str) -> str:
    """Return the name of an environment: a digest of all that determines its content."""
    return hashlib.sha256("\n".join((*python, *map(without_place, lines))).encode()).hexdigest()[:32]


def invalid_requirement(text: str, place: str, why: str = "") -> Problem:
    """Return the problem of an invalid or disallowed requirement."""
    what = f"is {quoted(text)}" if text.strip() else "is empty"
    hint = f"{_hint(text)}{_WANTED}, without options, paths and URLs"
    return Problem(422, "invalid_requirement", f"{place} {what}; {why or hint}", requirement=text[:1000])


def _hint(text: str) -> str:
    if _CONDA.fullmatch(text):
        return f"this is conda's form, pip's is {text.partition('=')[0]}=={text.split('=')[1]}; "
    if "://" in text and not text.startswith("-"):
        return f"addresses {URLS_ALLOWED}; "
    return "variables are not replaced; " if "${" in text else ""


@lru_cache(1000)
def _remembered(text: str, urls: bool) -> str | None:
    """Return the canonical form of a requirement of the plugin itself."""
    return _canonical(text, urls)


def _canonical(text: str, urls: bool) -> str | None:
    """Return the canonical form; None for a path or URL that is not allowed."""
    parsed = Requirement(text)
    if (parsed.url and not urls) or parsed.name.endswith(ARCHIVE_SUFFIXES):
        return None
    parsed.name = canonicalize_name(parsed.name)  # which never looks like a path
    parsed.extras = {canonicalize_name(extra) for extra in parsed.extras}
    return str(parsed)
