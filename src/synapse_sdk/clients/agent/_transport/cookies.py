"""The cookies of one agent, such as a load balancer's for sticky sessions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from email.message import Message
from http.cookiejar import CookieJar
from typing import Any, cast
from urllib.request import Request

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Cookies:
    """Stores the cookies of answers, and sends them back to their hosts; a value keeps its bytes."""

    def __init__(self) -> None:
        self._home = os.getpid(), CookieJar()
        self._is_empty = True

    def __bool__(self) -> bool:
        return not self._is_empty

    def header(self, url: str) -> bytes | None:
        """Return the value of a request's `Cookie` header."""
        request = Request(url)
        self._jar().add_cookie_header(request)
        value = request.get_header("Cookie")
        return None if value is None else value.encode("latin-1")

    def keep(self, url: str, values: Iterable[bytes]) -> None:
        """Store the `Set-Cookie` headers of an answer; ignore invalid ones, such as those that servers would reject."""
        headers = Message()
        for value in values:
            if not _CONTROL.search(value):
                headers["Set-Cookie"] = value.decode("latin-1")
        with suppress(UserWarning):  # an error if the program makes warnings errors
            self._jar().extract_cookies(cast("Any", _Response(headers)), Request(url))
        self._is_empty = False

    def _jar(self) -> CookieJar:
        """Return this process's jar: in a forked one, a lost thread may hold the lock of the parent's."""
        process, jar = self._home
        if process != os.getpid():
            jar, kept = CookieJar(), jar
            for cookie in kept:
                jar.set_cookie(cookie)
            self._home = os.getpid(), jar
        return jar


class _Response:
    """An answer in the form that `http.cookiejar` expects."""

    def __init__(self, headers: Message) -> None:
        self._headers = headers

    def info(self) -> Message:
        return self._headers
