"""Write the documentation site into a folder: the pages of docs/, and the files of the repository that they link to."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from links import faults

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PROJECT_PAGES = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "bench/RESULTS.md": "project/benchmarks.md",
    "examples/README.md": "project/examples.md",
    "tests/conformance/README.md": "project/conformance.md",
}
"""Pages elsewhere in the repository, and their places on the site."""

API_REFERENCE = ROOT / "generator" / "reference.py"
VERSION = ROOT / "src" / "synapse_sdk" / "_version.py"
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
FENCE = re.compile(r"^(```+).*?^\1$", re.M | re.S)
NAVIGATED = re.compile(r'^ *(?:\{ "[^"]+" = )?"(\S+\.md)"(?: \})?,$')
LANGUAGES = {
    ".py": "python",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".toml": "toml",
    ".json": "json",
    ".ts": "ts",
    ".sh": "sh",
}
COLORS = re.compile(r"\x1b\[[\d;]*m")
LONGEST_SHOWN = 100_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the site and return the exit code: 1 if a link is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="gets the site in `docs`, and what it is made from beside it")
    folder: Path = parser.parse_args(arguments).folder
    lay_out(folder)
    if not is_built(folder / "zensical.toml"):
        return 1
    subprocess.run([sys.executable, API_REFERENCE, folder / "docs" / "api"], check=True)
    for fault in (found := list(faults(folder / "docs"))):
        print(fault, file=sys.stderr)
    return 1 if found else 0


def is_built(settings: Path) -> bool:
    """Build the site, print the builder's output, and return whether it succeeded."""
    zensical = Path(sys.executable).with_name("zensical")
    command: list[str | Path] = [zensical, "build", "--strict", "--clean", "--config-file", settings]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(COLORS.sub("", done.stdout).strip())
    if done.returncode:  # the last line has the reason; above it is the builder's own traceback
        print(COLORS.sub("", done.stderr).strip().rpartition("\n")[2], file=sys.stderr)
    return done.returncode == 0


def lay_out(folder: Path) -> None:
    """Write the site's settings and all its pages."""
    pages = folder / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(DOCS, pages, ignore=shutil.ignore_patterns("scripts", "overrides", "*.md", "zensical.toml"))
    shutil.copytree(DOCS / "overrides", folder / "overrides", dirs_exist_ok=True)
    todo = [*own_pages(), *PROJECT_PAGES]
    done: set[str] = set()
    while todo:
        path = todo.pop()
        if path not in done:
            done.add(path)
            todo += write_page(path, pages)
    (folder / "zensical.toml").write_text("\n".join(settings(pages)) + "\n", encoding="utf-8")


def own_pages() -> Iterator[str]:
    """Yield the pages of docs/, as paths in the repository."""
    for path in sorted(DOCS.rglob("*.md")):
        if path.parent.name != "scripts":
            yield path.relative_to(ROOT).as_posix()


def settings(pages: Path) -> Iterator[str]:
    """Yield the lines of the settings: with the header of this version, without missing pages."""
    for line in (DOCS / "zensical.toml").read_text(encoding="utf-8").splitlines():
        named = NAVIGATED.match(line)
        if line.startswith("site_name = "):
            yield from header(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"])
        elif named is None or (pages / named[1]).exists():
            yield line


def header(project: dict[str, Any]) -> Iterator[str]:
    """Yield the settings of the site's header: name and version, and the repository if the project has its address."""
    [version] = re.findall(r'^__version__ = "(.+)"$', VERSION.read_text(encoding="utf-8"), re.M)
    yield f'site_name = "{project["name"]} {version}"'
    if repository := project.get("urls", {}).get("Homepage"):
        yield f'repo_url = "{repository}"'
        yield f'repo_name = "{repository.partition("://")[2].partition("/")[2]}"'


def write_page(path: str, pages: Path) -> list[str]:
    """Write the page of a file or folder of the repository, and return the others that it links to."""
    linked: list[str] = []
    place = PurePosixPath(place_of(path))

    def moved(link: re.Match[str]) -> str:
        target = os.path.normpath(PurePosixPath(path).parent / link[1])
        if not (ROOT / target).exists():
            return link[1]  # the check of the links reports it
        if not target.startswith("docs/"):
            linked.append(target)
        return os.path.relpath(place_of(target), place.parent)

    text = text_of(path)
    text = "".join(part if part.startswith("```") else LINK.sub(moved, part) for part in parts(text))
    file = pages / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return linked


def place_of(path: str) -> str:
    """Return the place of a file or folder of the repository on the site."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return PROJECT_PAGES.get(path, f"source/{path}.md")


def text_of(path: str) -> str:
    """Return the text of a page, or a page that shows a file or folder."""
    file = ROOT / path
    if file.suffix == ".md":
        return file.read_text(encoding="utf-8")
    if file.is_file():
        return f"# {path}\n\n{shown(file)}"
    files = [each for each in sorted(file.rglob("*")) if each.is_file() and "__pycache__" not in each.parts]
    sections = (f"## {each.relative_to(file).as_posix()}\n\n{shown(each)}" for each in files)
    return f"# {path}\n\n" + "\n".join(sections)


def shown(file: Path) -> str:
    """Return a block with a file's content."""
    content = file.read_bytes()
    if b"\0" in content or len(content) > LONGEST_SHOWN:
        return f"{len(content):,} bytes\n"
    text = content.decode("utf-8", errors="replace").rstrip()
    return f"`````{LANGUAGES.get(file.suffix, 'text')}\n{text}\n`````\n" if text else "Empty.\n"


def parts(text: str) -> Iterator[str]:
    """Yield the parts of a page: its blocks of code, which start with a fence, and the text between them."""
    end = 0
    for fence in FENCE.finditer(text):
        yield from (text[end : fence.start()], fence[0])
        end = fence.end()
    yield text[end:]


if __name__ == "__main__":
    sys.exit(main())
