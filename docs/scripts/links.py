"""Finds broken links of a site, and pages that load something from another host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("img", "src"), ("script", "src"), ("link", "href"), ("source", "srcset"), ("iframe", "src")}
"""Attributes that make a browser load something."""
NOT_FETCHED = {"canonical", "next", "prev"}
SCHEMES = {"http", "https", "mailto"}


@dataclass
class Page:
    """The links of a page, and its anchors."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)


class Reader(HTMLParser):
    """Reads a page."""

    def __init__(self) -> None:
        super().__init__()
        self.page = Page()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Collect anchors and links."""
        found = {name: value or "" for name, value in attributes}
        self.page.ids |= {found[name] for name in ("id", "name") if name in found}
        for name in ("href", "src", "srcset"):
            if name in found and found.get("rel") not in NOT_FETCHED:
                (self.page.loaded if (tag, name) in LOADED else self.page.links).append(found[name])


def faults(site: Path) -> Iterator[str]:
    """Yield a line for each link that leads nowhere, and for each thing that a page loads from another host."""
    site = site.resolve()
    pages = {path: read(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site)
        for link in (*page.links, *page.loaded):
            if not leads_somewhere(link, path, pages, site):
                yield f"{name}: {link} leads nowhere"
        for link in page.loaded:
            if urlsplit(link).netloc:
                yield f"{name}: {link} is loaded from another host"


def read(path: Path) -> Page:
    """Read the page in a file."""
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader.page


def leads_somewhere(link: str, path: Path, pages: dict[Path, Page], site: Path) -> bool:
    """Check a link on a page; of another host's, only its form."""
    parts = urlsplit(link)
    if parts.scheme == "data":
        return True
    if parts.scheme or parts.netloc:
        return parts.scheme in SCHEMES and (bool(parts.hostname) or parts.scheme == "mailto") and " " not in link
    target = path if not parts.path else place(unquote(parts.path), path, site)
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file():
        return False
    return not parts.fragment or target not in pages or unquote(parts.fragment) in pages[target].ids


def place(linked: str, path: Path, site: Path) -> Path:
    """Return the target of a link on a page; one with a leading slash starts at the site's root."""
    return (site / linked.lstrip("/") if linked.startswith("/") else path.parent / linked).resolve()
