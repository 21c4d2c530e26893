"""Makes document.pdf, a report of two pages, each with a strip of color on top: `python make_document.py`.

It needs only the standard library, and every run writes the same bytes. ISO 32000-1, chapter 7, describes how a PDF is
built.
"""

from __future__ import annotations

from pathlib import Path

PAGES = (
    (
        "Tilt sensor 4711: calibration",
        "The sensor was tilted from -1.0 to 1.0 in steps of 0.1.",
        "At each step its reading was taken once.",
    ),
    (
        "Result",
        "reading = 2.0 x tilt + 0.5",
        "No reading is further than 0.2 from that line.",
    ),
)
STRIP_WIDTH, STRIP_HEIGHT = 32, 2


def make_document() -> bytes:
    """Return the file: header, numbered objects, and a table of their offsets."""
    document, starts = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, content in enumerate(make_objects(), start=1):
        starts.append(len(document))
        document += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    return document + make_table(starts, position=len(document))


def make_objects() -> list[bytes]:
    """Return objects 1 to 4: catalog, page tree, font and strip; then each page, followed by its content."""
    numbers = range(5, 5 + 2 * len(PAGES), 2)
    kids = b" ".join(b"%d 0 R" % number for number in numbers)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(PAGES)),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        make_strip(),
    ]
    for number, lines in zip(numbers, PAGES, strict=True):
        objects += [make_page(content=number + 1), make_content(lines)]
    return objects


def make_page(*, content: int) -> bytes:
    """Return an A4 page that shows the object of that number."""
    resources = b"<< /Font << /Text 3 0 R >> /XObject << /Strip 4 0 R >> >>"
    template = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources %s /Contents %d 0 R >>"
    return template % (resources, content)


def make_content(lines: tuple[str, ...]) -> bytes:
    """Return the drawing of a page: the strip across the top, the lines of text below it."""
    strip = b"q 475 0 0 30 60 770 cm /Strip Do Q\n"
    text = b"\n".join(b"(%s) Tj T*" % line.encode("ascii") for line in lines)
    return make_stream(b"", strip + b"BT /Text 14 Tf 24 TL 60 720 Td\n%s\nET" % text)


def make_strip() -> bytes:
    """Return an image that goes from blue to yellow."""
    shades = (column * 255 // (STRIP_WIDTH - 1) for column in range(STRIP_WIDTH))
    row = b"".join(bytes((shade, shade, 255 - shade)) for shade in shades)
    attributes = b"/Type /XObject /Subtype /Image /ColorSpace /DeviceRGB /BitsPerComponent 8"
    size = b"/Width %d /Height %d" % (STRIP_WIDTH, STRIP_HEIGHT)
    pixels = (row * STRIP_HEIGHT).hex().encode() + b">"
    return make_stream(b"%s %s /Filter /ASCIIHexDecode" % (attributes, size), pixels)


def make_stream(attributes: bytes, data: bytes) -> bytes:
    """Return data as an object."""
    return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (attributes, len(data), data)


def make_table(starts: list[int], *, position: int) -> bytes:
    """Return the table of a PDF: the offset of each object, and the number of the catalog."""
    entries = b"".join(b"%010d 00000 n \n" % start for start in starts)
    size = len(starts) + 1
    table = b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, entries)
    return table + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, position)


if __name__ == "__main__":
    Path(__file__).with_name("document.pdf").write_bytes(make_document())
