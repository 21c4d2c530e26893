"""Requirements: a plugin's `requirements.txt`, and those of a call."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from synapse_agent.plugins.config import file_bytes, invalid_plugin, one_line
from synapse_agent.problems import Problem, quoted

REQUIREMENTS_FILE = "requirements.txt"
_MAX_REMEMBERED = 200
"""Characters of a requirement that is worth being remembered."""
_ARCHIVES = (".whl", ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz")


def read_requirements(folder: Path) -> tuple[str, ...]:
    """Read `folder/requirements.txt`, none where there is no such file; checked as `check_requirements` does."""
    try:
        text = file_bytes(folder / REQUIREMENTS_FILE).decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise invalid_plugin(f"{REQUIREMENTS_FILE} cannot be read: {one_line(error)}") from error
    lines = (_without_comment(line) for line in text.replace("\\\n", " ").splitlines())
    return check_requirements((line for line in lines if line), source=REQUIREMENTS_FILE)


def check_requirements(requirements: Iterable[str], *, source: str = "requirements") -> tuple[str, ...]:
    """Give the requirements in canonical form, or raise `Problem` 422 `invalid_requirement` naming the first bad one.

    Good ones are PEP 508 names with extras, versions and markers; options, paths and URLs are refused. `source` is
    what the message calls the list.
    """
    return tuple(_check_requirement(text, f"{source}[{index}]") for index, text in enumerate(requirements))


def _check_requirement(text: str, where: str) -> str:
    try:
        canonical = _remembered_requirement(text) if len(text) <= _MAX_REMEMBERED else _canonical_requirement(text)
    except InvalidRequirement as error:
        raise _invalid_requirement(text, where) from error
    if canonical is None:
        raise _invalid_requirement(text, where)
    return canonical


@lru_cache(1000)
def _remembered_requirement(text: str) -> str | None:
    """Give the canonical form of what comes with every run of a plugin."""
    return _canonical_requirement(text)


def _canonical_requirement(text: str) -> str | None:
    """Give the canonical form; None for a path or a URL."""
    requirement = Requirement(text)
    if requirement.url or requirement.name.endswith(_ARCHIVES):
        return None
    requirement.name = canonicalize_name(requirement.name)  # in which there is nothing that looks like a path
    requirement.extras = {canonicalize_name(extra) for extra in requirement.extras}
    return str(requirement)


def _invalid_requirement(text: str, where: str) -> Problem:
    what = f"is {quoted(text)}" if text.strip() else "is empty"
    wanted = "wanted is a package's name with extras, versions and markers, such as 'pillow>=9.0.0'"
    message = f"{where} {what}; {wanted}, and no option, path or URL"
    return Problem(422, "invalid_requirement", message, requirement=text[:1000])


def _without_comment(line: str) -> str:
    if line.lstrip().startswith("#"):
        return ""
    return line.split(" #", 1)[0].strip()
