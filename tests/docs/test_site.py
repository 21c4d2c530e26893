"""The site is built without a warning, every link works, and nothing on it comes from another host."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import pytest
from blocks import PAGES, ROOT, name_of
from links import faults, read
from site_pages import LINK, NAVIGATED, PROJECT_PAGES, header, lay_out, place_of

from synapse_sdk import __version__

FIRST_FOUND = {
    "timeout": "guides/errors-and-retries.html#timeouts-and-deadlines",
    "deadline": "guides/errors-and-retries.html#timeouts-and-deadlines",
    "kubernetes": "guides/team.html#kubernetes",
    "docker": "guides/team.html#docker",
    "jupyter": "guides/notebooks.html",
    "notebook": "guides/notebooks.html",
    "metrics": "guides/team.html#metrics-for-prometheus",
    "prometheus": "guides/team.html#metrics-for-prometheus",
    "backup": "guides/team.html#backups",
    "upgrade": "upgrading.html",
    "systemd": "guides/team.html#systemd",
    "retries": "guides/errors-and-retries.html#retries",
}
"""Words that readers search for, and the section that explains each."""


@pytest.fixture
def small_site(tmp_path: Path) -> Path:
    """Return a correct site of two pages."""
    (tmp_path / "index.html").write_text('<a href="guide.html#first">x</a> <a href="https://example.com/a">y</a>')
    (tmp_path / "guide.html").write_text('<h1 id="first">z</h1> <a href="/index.html">x</a> <img src="data:,">')
    return tmp_path


def test_a_site_without_a_fault_has_none(small_site: Path) -> None:
    """The check opens no address on another host; it checks the form."""
    assert list(faults(small_site)) == []


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        ('<a href="none.html">', "none.html leads nowhere"),
        ('<a href="guide.html#second">', "guide.html#second leads nowhere"),
        ('<a href="#second">', "#second leads nowhere"),
        ('<a href="https://">', "https:// leads nowhere"),
        ('<a href="htp://example.com">', "htp://example.com leads nowhere"),
        ('<img src="none.svg">', "none.svg leads nowhere"),
        ('<script src="https://cdn.example.com/x.js">', "https://cdn.example.com/x.js is loaded from another host"),
        ('<link rel="stylesheet" href="//cdn.example.com/x">', "//cdn.example.com/x is loaded from another host"),
    ],
)
def test_a_fault_is_told(small_site: Path, part: str, fault: str) -> None:
    """The message names the page."""
    with (small_site / "index.html").open("a") as file:
        file.write(part)
    assert f"index.html: {fault}" in list(faults(small_site))


def test_every_page_is_on_the_site(site: Path) -> None:
    """Only the README is not on it: it is the repository's front page."""
    places = [place_of(name_of(page)) for page in PAGES if page.name != "README.md" or page.parent != ROOT]
    assert [place for place in places if not (site / place).with_suffix(".html").is_file()] == []


def test_every_page_has_its_place_in_the_navigation() -> None:
    """Each page is listed once."""
    settings = (ROOT / "docs" / "zensical.toml").read_text(encoding="utf-8")
    named = [match[1] for line in settings.splitlines() if (match := NAVIGATED.match(line))]
    pages = {place_of(name_of(page)) for page in PAGES if page != ROOT / "README.md"}
    assert sorted(named) == sorted(pages)


def test_the_links_of_the_readme_lead_somewhere() -> None:
    """The site's own check does not cover the README."""
    targets = LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_what_a_page_links_to_in_the_repository_is_on_the_site(tmp_path: Path) -> None:
    """Links to files and folders lead to pages that show them; blocks of code stay as they are."""
    lay_out(tmp_path)
    page = (tmp_path / "pages" / "guides" / "write-a-plugin.md").read_text(encoding="utf-8")
    assert "](../source/examples/plugins/shapes.md)" in page
    shown = (tmp_path / "pages" / "source" / "examples" / "plugins" / "shapes.md").read_text(encoding="utf-8")
    assert "## plugin/functions.py" in shown
    assert "async def together(seconds):" in shown
    assert (tmp_path / "pages" / PROJECT_PAGES["CHANGELOG.md"]).is_file()
    assert tomllib.loads((tmp_path / "zensical.toml").read_text(encoding="utf-8"))["project"]["docs_dir"] == "pages"


def test_search_finds_first_what_explains_a_word(site: Path) -> None:
    """The test uses the site's own index and worker."""
    command = ["node", ROOT / "tests" / "docs" / "search.js", site, *FIRST_FOUND]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {word: places[0] for word, places in found.items()} == FIRST_FOUND


def test_a_page_that_is_not_found_leads_home(site: Path) -> None:
    """Its links start at the root of the site, so that they work at any depth."""
    links = read(site / "404.html").links
    assert {"/index.html", "/troubleshooting.html"} <= set(links)
    assert "Page not found" in (site / "404.html").read_text(encoding="utf-8")


def test_the_header_has_the_version_and_the_repository(site: Path) -> None:
    """Every page has them; the repository's address is that of the package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for page in ("index.html", "guides/team.html", "404.html"):
        shown = (site / page).read_text(encoding="utf-8")
        assert f"{project['name']} {__version__}" in shown.partition("<header")[2].partition("</header>")[0]
        assert project.get("urls", {}).get("Homepage", "") in shown
    address = "https://example.com/team/project"
    assert list(header(project | {"urls": {"Homepage": address}}))[1:] == [
        f'repo_url = "{address}"',
        'repo_name = "team/project"',
    ]
