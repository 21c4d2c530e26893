"""Decode a body piece by piece: gzip and deflate, the two codings that the client asks for. No I/O here."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

ACCEPT_ENCODING = "gzip, deflate"

_PIECE = 64 * 1024
"""Maximum output of one step: a body that expands extremely must not be in memory before its size is checked."""
_GZIP = zlib.MAX_WBITS | 16


class Decoder:
    """Decodes the coding in `Content-Encoding`; raises `ValueError` for a body in another one."""

    def __init__(self, content_encoding: str) -> None:
        names = [name.strip().lower() for name in content_encoding.split(",")]
        self._steps = [_Inflation(name) for name in reversed(names) if name not in ("", "identity")]

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the decoded bytes, in pieces of limited size."""
        yield from self._through(data, 0)

    def finish(self) -> None:
        """Raise `ValueError` if the body is incomplete."""
        for step in self._steps:
            step.finish()

    def _through(self, data: bytes, index: int) -> Iterator[bytes]:
        if index == len(self._steps):
            yield data
            return
        for piece in self._steps[index].feed(data):
            yield from self._through(piece, index + 1)


class _Inflation:
    """One coding of a body."""

    def __init__(self, name: str) -> None:
        if name not in ("gzip", "x-gzip", "deflate"):
            raise ValueError(f"it is encoded as {name!r}, but only {ACCEPT_ENCODING} were requested")
        self._name = name
        self._is_gzip = name != "deflate"
        self._inflate = zlib.decompressobj(_GZIP if self._is_gzip else zlib.MAX_WBITS)
        self._head = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self._inflate.eof and not (data := self._next_member(data)):
                return
            piece = self._step(data)
            data = self._inflate.unconsumed_tail or self._inflate.unused_data
            if piece:
                yield piece
            if len(piece) < _PIECE and not data:
                return

    def finish(self) -> None:
        if self._head and not self._inflate.eof:
            raise ValueError(f"its {self._name} data is cut off")

    def _next_member(self, data: bytes) -> bytes:
        """Return the bytes after the end: another member of a gzip file, without padding zeros."""
        rest = data.lstrip(b"\0")
        if rest and not self._is_gzip:
            raise ValueError(f"bytes follow the end of its {self._name} data")
        if rest:
            self._inflate = zlib.decompressobj(_GZIP)
        return rest

    def _step(self, data: bytes) -> bytes:
        if len(self._head) < 2:
            self._head += data
            if len(self._head) < 2:
                return b""
            data = self._head
            if not self._is_gzip and (data[0] & 15 != 8 or int.from_bytes(data[:2], "big") % 31):
                # Many servers send `deflate` without the zlib header that RFC 9110 asks for.
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            return self._inflate.decompress(data, _PIECE)
        except zlib.error as error:
            raise ValueError(f"its {self._name} data is broken ({error})") from error
