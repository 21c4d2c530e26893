"""The action `process_document`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pypdf import PageObject, PdfReader
from pypdf.errors import PyPdfError


def process_document(file_path: str) -> dict[str, Any]:
    """Return a PDF's text by page, and the size of its images as [width, height] in pixels.

    `images` is None without Pillow, which the plugin leaves to its callers: `requirements=["pillow"]`.
    """
    path = Path(file_path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path} on the agent's machine")
    try:
        with PdfReader(path) as reader:
            return {"file": path.name, **describe(list(reader.pages))}
    except PyPdfError as error:
        raise ValueError(f"{path} is not a readable PDF: {error}") from error


def describe(pages: list[PageObject]) -> dict[str, Any]:
    """Return the text of each page and the size of each image."""
    return {
        "pages": [page.extract_text() for page in pages],
        "images": image_sizes(pages) if find_spec("PIL") else None,
    }


def image_sizes(pages: list[PageObject]) -> list[tuple[int, int]]:
    """Return (width, height) of each image."""
    images = (found.image for page in pages for found in page.images)
    return [image.size for image in images if image]
