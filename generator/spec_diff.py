"""Compare openapi.yaml with that of a release, and check that its version is raised as far as its changes require."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from spec_change import Change, Level
from spec_documents import changes

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = "openapi.yaml"
TAGS = "v[0-9]*"


class NotComparable(Exception):
    """No earlier contract to compare with was found."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, and print the differences; 0 if the version fits, 1 if it does not, 2 if they can't be compared."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ref", nargs="?", default="", help="a tag, branch or commit; the last release tag if not given")
    parser.add_argument("--repository", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        ref = options.ref or last_release(options.repository)
        if ref is None:
            print(
                f"There is no release yet (no tag like {TAGS}): nothing to compare. Name a ref: make spec-diff REF=main"
            )
            return 0
        old = contract_at(options.repository, ref)
    except NotComparable as error:
        print(error, file=sys.stderr)
        return 2
    new = parsed((options.repository / CONTRACT).read_bytes())
    return report(ref, old["info"]["version"], new["info"]["version"], changes(old, new))


def report(ref: str, old: str, new: str, found: Sequence[Change]) -> int:
    """Print the differences and whether the version fits; return the exit code."""
    for change in found:
        print(change)
    problem = version_problem(old, new, max((change.level for change in found), default=Level.NONE))
    print(f"{CONTRACT} is {new}, at {ref} it is {old}: {problem or 'the version fits.'}")
    return 1 if problem else 0


def version_problem(old: str, new: str, level: Level) -> str | None:
    """Return the fault of a version for some changes; wording alone requires none."""
    before, after = parts(old), parts(new)
    if after < before:
        return "a version never goes back."
    if level is Level.MAJOR and after[0] == before[0]:
        return f"this breaks clients. Take it back, or raise info.version to {before[0] + 1}.0.0: see CHANGELOG.md."
    if level is Level.MINOR and after[:2] == before[:2]:
        return f"there are additions. Raise info.version to {before[0]}.{before[1] + 1}.0: see CHANGELOG.md."
    return None


def parts(version: str) -> tuple[int, int, int]:
    """Return a version's three numbers."""
    major, minor, patch = version.split(".")
    return int(major), int(minor), int(patch)


def last_release(repository: Path) -> str | None:
    """Return the last release tag before the current commit, None without one."""
    done = git(repository, "describe", "--tags", "--abbrev=0", "--match", TAGS)
    return done.stdout.strip() if done.returncode == 0 else None


def contract_at(repository: Path, ref: str) -> Any:
    """Return the contract at a ref; raise `NotComparable` if it had none."""
    done = git(repository, "show", f"{ref}:{CONTRACT}")
    if done.returncode != 0:
        raise NotComparable(f"There is no {CONTRACT} at {ref!r}: {done.stderr.strip()}")
    return parsed(done.stdout)


def parsed(text: str | bytes) -> Any:
    """Parse YAML; with libyaml, if installed, in a tenth of the time."""
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def git(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask git."""
    return subprocess.run(["git", *arguments], cwd=repository, capture_output=True, text=True)


if __name__ == "__main__":
    sys.exit(main())
