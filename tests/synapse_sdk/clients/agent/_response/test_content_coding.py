"""Decoding bodies: compressed, cut off, or too large."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sdk.clients.agent._response.body import BodyReader
from synapse_sdk.clients.agent._response.content_coding import Decoder
from synapse_sdk.exceptions import ResponseParseError

TEXT = b'{"status": "ok"}' * 100


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


BODIES = {
    "gzip": gzip.compress(TEXT, mtime=0),
    "x-gzip": gzip.compress(TEXT, mtime=0),
    "GZip": gzip.compress(TEXT[:50], mtime=0) + gzip.compress(TEXT[50:], mtime=0) + b"\0" * 512,
    "deflate": zlib.compress(TEXT),
    " deflate": raw_deflate(TEXT),
    "identity": TEXT,
    "gzip, deflate": zlib.compress(gzip.compress(TEXT, mtime=0)),
}


def read(coding: str, *parts: bytes, limit: int = 10**9) -> bytes:
    reader = BodyReader(200, {"content-encoding": coding}, limit)
    for part in parts:
        reader.feed(part)
    return reader.finish()


@pytest.mark.parametrize("coding", BODIES)
@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_bodies_are_decoded_however_they_are_cut(coding: str, size: int) -> None:
    """This covers several gzip members, `x-gzip`, and deflate with and without its header."""
    body = BODIES[coding]
    assert read(coding, *(body[at : at + size] for at in range(0, len(body), size))) == TEXT


def test_a_body_is_not_kept() -> None:
    """An idle connection still has the reader of its last answer, whose body may have had megabytes."""
    reader = BodyReader(200, {}, 10**9)
    reader.feed(TEXT)
    assert [reader.finish(), reader.finish()] == [TEXT, b""]


@pytest.mark.parametrize("coding", [name for name in BODIES if name != "identity"])
@pytest.mark.parametrize("cut", [1, 4, 8])
def test_a_body_that_is_cut_off_is_no_answer(coding: str, cut: int) -> None:
    """This includes the trailer, whose checksum shows whether the body is complete."""
    body = BODIES[coding].rstrip(b"\0")
    with pytest.raises(ResponseParseError, match=r"can't be decoded: its \S+ data is cut off"):
        read(coding, body[:-cut])


@pytest.mark.parametrize(
    ("coding", "body", "message"),
    [
        ("gzip", b"{}", "broken"),
        ("gzip", BODIES["gzip"] + b"xx", "broken"),
        ("gzip", BODIES["gzip"][:-8] + bytes(8), "broken"),
        ("deflate", b"\xff{}", "broken"),
        ("deflate", BODIES["deflate"] + b"x", "bytes follow the end"),
        ("br", b"", "encoded as 'br', but only gzip, deflate were requested"),
    ],
)
def test_a_body_that_does_not_match_its_coding_is_an_error_of_ours(coding: str, body: bytes, message: str) -> None:
    """The error names the coding; with an idempotency key, a retry may return the result."""
    with pytest.raises(ResponseParseError, match=message) as caught:
        read(coding, body)
    assert (caught.value.status_code, caught.value.outcome) == (200, "unknown")


def test_an_empty_body_needs_no_coding() -> None:
    """An answer without a body may name a coding."""
    assert read("gzip") == b""


@given(st.binary(), st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_are_decoded_or_refused(body: bytes, coding: str) -> None:
    """No other exception than ours occurs."""
    with suppress(ValueError):
        list(Decoder(coding).feed(body))


@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip"])
def test_a_bomb_does_not_go_off(coding: str) -> None:
    """A megabyte that expands to a gigabyte uses no more memory than the limit."""
    bomb = zlib.compressobj(9, wbits=31)
    first, other = (bomb.compress(bytes(1 << 24)) + bomb.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    body = first + 63 * other
    body = body if coding == "gzip" else gzip.compress(body, mtime=0)
    tracemalloc.start()
    with pytest.raises(ResponseParseError, match=r"larger than max_response_bytes=1000000\."):
        read(coding, body, limit=1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000


def test_the_limit_is_the_last_size_that_fits() -> None:
    """This holds for a body without a coding, too."""
    assert read("", b"12345", limit=5) == b"12345"
    with pytest.raises(ResponseParseError, match="max_response_bytes=5"):
        read("", b"123", b"456", limit=5)
