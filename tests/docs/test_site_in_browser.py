"""The site, opened from disk in a browser as its reader does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import Browser, find_browser

WIDE, NARROW = 1400, 390


@contextmanager
def reading(site: Path, profile: Path, *, width: int) -> Iterator[Browser]:
    """Open a browser; at the end, check that it requested nothing from other hosts and reported no error."""
    program = find_browser()
    if program is None:
        pytest.skip("Chromium is missing; as root on Debian, .ci/install installs it.")
    with Browser(program, profile, width=width) as browser:
        browser.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width == NARROW
        )
        yield browser
        assert [url for url in browser.requested if not url.startswith((site.as_uri(), "data:"))] == []
        assert browser.complaints == []


def go_to(browser: Browser, page: Path) -> None:
    """Open a page and wait until it is loaded."""
    browser.open(page.as_uri())
    browser.wait_for(f"document.readyState === 'complete' && location.href === {page.as_uri()!r}")


def test_search_finds_a_page(site: Path, tmp_path: Path) -> None:
    """The test types letter by letter, on a page opened from disk."""
    with reading(site, tmp_path, width=WIDE) as browser:
        go_to(browser, site / "index.html")
        browser.command("Input.dispatchKeyEvent", type="keyDown", key="k", code="KeyK", modifiers=2)
        browser.wait_for("document.activeElement.shadowRoot?.activeElement?.tagName === 'INPUT'")
        for letter in "zygote":
            browser.command("Input.insertText", text=letter)
        browser.wait_for("document.activeElement.shadowRoot.textContent.includes('Why a zygote')")


@pytest.mark.long
def test_no_page_is_wider_than_a_phone(site: Path, tmp_path: Path) -> None:
    """A wider table or line of code scrolls within the page."""
    others = {"404.html", "api", "source"}
    pages = [page for page in sorted(site.rglob("*.html")) if not others & set(page.relative_to(site).parts)]
    assert len(pages) > 20
    with reading(site, tmp_path, width=NARROW) as browser:
        for page in pages:
            go_to(browser, page)
            assert browser.run("document.documentElement.scrollWidth - innerWidth") <= 0, page
