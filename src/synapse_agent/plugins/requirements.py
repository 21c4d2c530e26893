"""Requirements: what each may be, and the form in which an environment is asked for.

That form is a set of lines, each of which means the same wherever it is read:

    pillow>=9.0.0                           a requirement in canonical form
    six==1.16.0 --hash=sha256:…             one whose file is checked
    -c numpy<2                              a constraint
    /releases/…/wheels/a.whl#sha256:…       a package that a plugin ships, and its content
    --pre                                   an option of the installer's
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
"""Characters of a requirement that is worth being remembered."""
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_EXTRAS = re.compile(r"(?P<path>.*?)(?P<extras>\[[A-Za-z0-9._, -]*\])?")
_CONDA = re.compile(r"[\w.-]+=[\w.!+*]+(=\w+)?")
URLS_ALLOWED = "are for agents that allow them (`serve --allow-requirement-urls`)"
_WANTED = "wanted is a package's name with extras, versions and markers, such as 'pillow>=9.0.0'"


@dataclass(frozen=True, slots=True)
class RequirementRules:
    """What requirements may name besides packages of the agent's own indexes."""

    urls: bool = False
    """Addresses, and paths outside the plugin: the operator's decision."""


STRICT = RequirementRules()


def check_requirements(requirements: Iterable[str], rules: RequirementRules = STRICT) -> tuple[str, ...]:
    """Return a call's requirements in canonical form; a bad one is a `Problem` 422 `invalid_requirement`.

    Good ones are PEP 508 names with extras, versions and markers. Options and paths are refused, and addresses unless
    the rules allow them.
    """
    return tuple(requirement(text, f"requirements[{index}]", rules) for index, text in enumerate(requirements))


def requirement(text: str, place: str, rules: RequirementRules = STRICT) -> str:
    """Return one requirement in canonical form; `place` is its name in a message."""
    if not text.isprintable():  # a line end would make another line of the installer's file
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
    """Return the line of a package that lies on this machine, named by its content as well."""
    digest = tree_digest(path) if path.is_dir() else file_digest(path)
    return f"{path}{extras}#{digest}"


def local_path(line: str) -> tuple[Path, str] | None:
    """Return the path of a line that `local_requirement` made, and its extras; None for any other line."""
    if not line.startswith(os.sep):
        return None
    match = _EXTRAS.fullmatch(line.rpartition("#")[0])
    return (Path(match["path"]), match["extras"] or "") if match else None


def without_place(line: str) -> str:
    """Return a line as it is wherever the plugin lies, to compare and to name environments by."""
    option, space, rest = line.rpartition(" ") if line.startswith("--find-links ") else ("", "", line)
    local = local_path(rest)
    return f"{option}{space}{local[0].name}{local[1]}#{rest.rpartition('#')[2]}" if local else line


def environment_key(lines: Iterable[str], *python: str) -> str:
    """Return the name of an environment: a digest of all that decides what is in it."""
    return hashlib.sha256("\n".join((*python, *map(without_place, lines))).encode()).hexdigest()[:32]


def invalid_requirement(text: str, place: str, why: str = "") -> Problem:
    """Report an invalid requirement, or one that is not allowed."""
    what = f"is {quoted(text)}" if text.strip() else "is empty"
    hint = f"{_hint(text)}{_WANTED}, and no option, path or URL"
    return Problem(422, "invalid_requirement", f"{place} {what}; {why or hint}", requirement=text[:1000])


def _hint(text: str) -> str:
    if _CONDA.fullmatch(text):
        return f"conda writes so, pip {text.partition('=')[0]}=={text.split('=')[1]}; "
    if "://" in text and not text.startswith("-"):
        return f"addresses {URLS_ALLOWED}; "
    return "no variables are filled in; " if "${" in text else ""


@lru_cache(1000)
def _remembered(text: str, urls: bool) -> str | None:
    """Return the canonical form of what comes with every run of a plugin."""
    return _canonical(text, urls)


def _canonical(text: str, urls: bool) -> str | None:
    """Return the canonical form; None for a path or a URL that is not allowed."""
    parsed = Requirement(text)
    if (parsed.url and not urls) or parsed.name.endswith(ARCHIVE_SUFFIXES):
        return None
    parsed.name = canonicalize_name(parsed.name)  # in which there is nothing that looks like a path
    parsed.extras = {canonicalize_name(extra) for extra in parsed.extras}
    return str(parsed)
