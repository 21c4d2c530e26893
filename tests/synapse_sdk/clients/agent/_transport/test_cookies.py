"""The store of cookies; `test_transport` and `test_pool` show cookies on sockets."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from synapse_sdk.clients.agent._transport.cookies import Cookies

URL = "http://agent.test/"


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (b"a=b; Max-Age", b"node=7"),
        (b"a=b\x01c", b"node=7"),
        (b"a=b\x7f", b"node=7"),
        (b"a=b; Domain=..", b"node=7"),
        (b"a=b; Port=x", b"node=7"),
        (b"a=b; Expires=Thu, 99 Foo 99999999 99:99:99 GMT", b"node=7; a=b"),
        (b'a="b; Path=/', b'node=7; a="b'),
        (b"a=\xe9\tc", b"node=7; a=\xe9\tc"),
    ],
)
def test_an_odd_cookie_does_no_harm(value: bytes, sent: bytes) -> None:
    """It is ignored or sent back as it is; other cookies are kept, and nothing is raised."""
    cookies = Cookies()
    cookies.keep(URL, [b"node=7; Path=/"])
    cookies.keep(URL, [value])
    assert cookies.header(URL) == sent


def test_a_fork_needs_no_lock_of_a_lost_thread() -> None:
    """A thread that stores a cookie is not in the child; the child has the parent's cookies, and stores its own."""
    cookies, held, done = Cookies(), threading.Event(), threading.Event()
    cookies.keep(URL, [b"node=7; Path=/"])

    def hold() -> None:
        with cookies._jar()._cookies_lock:  # type: ignore[attr-defined]
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    child = os.fork()
    if not child:
        signal.alarm(10)  # instead of a deadlock
        cookies.keep(URL, [b"own=1; Path=/"])
        os._exit(cookies.header(URL) != b"node=7; own=1")
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert cookies.header(URL) == b"node=7"
