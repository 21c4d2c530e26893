"""Check that a commit can be released, and tag it: `v` and the package's version, `contract-v` and the contract's."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECTS = ("pyproject.toml", "distributions/agent/pyproject.toml")
PLACEHOLDER = ".example.com"


def main(root: Path = ROOT) -> int:
    """Tag the commit, or print the obstacles; return the exit code."""
    if found := list(problems(root)):
        print("This commit can't be released:", *found, sep="\n- ", file=sys.stderr)
        return 1
    made = [tag for tag in tags(root) if not git(root, "tag", "--list", tag)]
    for tag in made:
        git(root, "tag", "--annotate", "--message", tag, tag)
    print(f"Tagged {' and '.join(made)}. Next: `git push --tags`, and `twine upload dist/*`.")
    return 0


def problems(root: Path) -> Iterator[str]:
    """Yield a sentence for each thing to do before the release."""
    tag, contract = tags(root)
    version = tag.removeprefix("v")
    if git(root, "status", "--porcelain"):
        yield "Files are not committed: `git status` lists them."
    if git(root, "tag", "--list", tag):
        yield f"{tag} exists already: raise the version in src/synapse_sdk/_version.py."
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", read(root, "CHANGELOG.md"), re.M):
        yield f"CHANGELOG.md has no `## [{version}] - DATE`: rename *Unreleased*."
    if f'"synapse-agent-client=={version}"' not in read(root, PROJECTS[1]):
        yield f"{PROJECTS[1]} requires another version of the client than {version}."
    for path in PROJECTS:
        if any(PLACEHOLDER in url for url in tomllib.loads(read(root, path))["project"]["urls"].values()):
            yield f"{path} has {PLACEHOLDER} in its addresses: replace it by the repository's."
    if git(root, "tag", "--list", contract) and git(root, "diff", "--name-only", contract, "--", "openapi.yaml"):
        yield f"openapi.yaml has changed since {contract}: raise its version; `make spec-diff` reports to which."


def tags(root: Path) -> tuple[str, str]:
    """Return the tag of the package's version and that of the contract's."""
    (package,) = re.findall(r'__version__ = "(.+)"', read(root, "src/synapse_sdk/_version.py"))
    (contract,) = re.findall(r"^  version: (.+)$", read(root, "openapi.yaml"), re.M)
    return f"v{package}", f"contract-v{contract}"


def read(root: Path, path: str) -> str:
    """Read a file of the repository."""
    return (root / path).read_text(encoding="utf-8")


def git(root: Path, *arguments: str) -> str:
    """Run git in the repository and return its output."""
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
