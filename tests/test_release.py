"""`make release` tags a commit that is ready, and lists what is missing in others."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import release

ROOT = Path(__file__).parents[1]
READ = ("pyproject.toml", "distributions/agent/pyproject.toml", "src/synapse_sdk/_version.py", "openapi.yaml")
AUTHOR = {f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the files that the check reads, and a commit that can be released as 0.1.0."""
    for name, value in AUTHOR.items():
        monkeypatch.setenv(name, value)
    for path in READ:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        text = (ROOT / path).read_text(encoding="utf-8")
        (tmp_path / path).write_text(text.replace(release.PLACEHOLDER, ".invalid"), encoding="utf-8")
    version = release.tags(tmp_path)[0].removeprefix("v")
    (tmp_path / "CHANGELOG.md").write_text(f"## [Unreleased]\n\n## [{version}] - 2026-11-30\n", encoding="utf-8")
    release.git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def commit(folder: Path) -> None:
    """Commit all files of a folder."""
    release.git(folder, "add", "--all")
    release.git(folder, "commit", "--quiet", "--message", "All")


def change(folder: Path, path: str, old: str, new: str) -> None:
    """Replace text in a file, and commit it."""
    text = (folder / path).read_text(encoding="utf-8")
    assert old in text
    (folder / path).write_text(text.replace(old, new), encoding="utf-8")
    commit(folder)


def test_a_commit_that_is_ready_gets_two_tags(ready: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One is for the package, one for the contract, which keeps its tag if only the package has changed."""
    package, contract = release.tags(ready)
    assert release.main(ready) == 0
    assert f"Tagged {package} and {contract}." in capsys.readouterr().out
    assert release.git(ready, "tag", "--list").split() == sorted([contract, package])
    version = package.removeprefix("v")
    change(ready, "src/synapse_sdk/_version.py", version, "9.8.7")
    change(ready, "distributions/agent/pyproject.toml", f"=={version}", "==9.8.7")
    change(ready, "CHANGELOG.md", f"[{version}]", "[9.8.7]")
    assert release.main(ready) == 0
    assert "Tagged v9.8.7." in capsys.readouterr().out


def test_what_is_missing_is_named(ready: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The output lists everything at once, and nothing is tagged."""
    release.main(ready)
    change(ready, "openapi.yaml", "openapi: 3.1.0", "openapi: 3.1.1")
    change(ready, "pyproject.toml", "git.invalid", f"git{release.PLACEHOLDER}")
    change(ready, "distributions/agent/pyproject.toml", "synapse-agent-client==", "synapse-agent-client>=")
    change(ready, "CHANGELOG.md", "] - 2026-11-30", "]")
    (ready / "left").touch()
    assert release.main(ready) == 1
    said = capsys.readouterr().err
    for part in (
        "not committed",
        "exists already: raise the version",
        "rename *Unreleased*",
        "requires another version of the client",
        "pyproject.toml has .example.com in its addresses",
        "openapi.yaml has changed since contract-v",
    ):
        assert part in said
    assert len(said.splitlines()) == 7


def test_this_repository_waits_for_its_address() -> None:
    """Until it has a public address, `make release` stops here."""
    assert [line for line in release.problems(ROOT) if release.PLACEHOLDER in line]


def test_make_release_builds_before_it_checks() -> None:
    """So the tagged files are those that twine has checked."""
    planned = subprocess.run(["make", "--dry-run", "release"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert planned.stdout.index("twine check --strict") < planned.stdout.index("distributions/release.py")
