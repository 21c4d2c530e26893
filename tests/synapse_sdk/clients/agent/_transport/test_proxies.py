"""The choice of a request's proxy, compared with requests, httpx2 and curl."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx2
import pytest
from requests.utils import get_environ_proxies, select_proxy

from synapse_sdk import exceptions
from synapse_sdk.clients.agent._transport.proxies import proxy_for

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy")


class Case(NamedTuple):
    """A request and its variables; `odd` names programs of which some releases choose differently."""

    address: str
    is_proxied: bool
    no_proxy: str = ""
    variable: str = "http_proxy"
    odd: str = ""


DIRECT, PROXIED = False, True
CASES = [
    Case("http://agent.test", PROXIED),
    Case("http://agent.test:8000/prefix", PROXIED),
    Case("http://agent.test", PROXIED, variable="all_proxy"),
    Case("http://agent.test", DIRECT, variable="https_proxy"),
    Case("http://agent.test", DIRECT, variable="ftp_proxy"),
    Case("http://127.0.0.1:8000", PROXIED),
    Case("http://[::1]:8000", PROXIED),
    # names and domains
    Case("http://agent.test", DIRECT, "agent.test"),
    Case("http://AGENT.test", DIRECT, "agent.TEST"),
    Case("http://agent.test:8000", DIRECT, "agent.test"),
    Case("http://a.agent.test", DIRECT, "agent.test"),
    Case("http://a.b.agent.test", DIRECT, "agent.test"),
    Case("http://a.agent.test", DIRECT, ".agent.test"),
    Case("http://agent.test", DIRECT, ".agent.test", odd="httpx2"),
    Case("http://notagent.test", PROXIED, "agent.test"),
    Case("http://notagent.test", PROXIED, ".agent.test"),
    Case("http://agent.test.example", PROXIED, "agent.test"),
    Case("http://agent.test", PROXIED, "a.agent.test"),
    Case("http://a.agent.test", DIRECT, "*.agent.test", odd="requests curl"),
    Case("http://agent.test", DIRECT, "other.test,agent.test"),
    Case("http://agent.test", DIRECT, "other.test, agent.test"),
    Case("http://agent.test", DIRECT, "other.test agent.test", odd="requests httpx2"),
    Case("http://agent.test", DIRECT, ",,agent.test,"),
    Case("http://agent.test", PROXIED, "other.test"),
    Case("http://localhost:8000", DIRECT, "localhost"),
    Case("http://localhost:8000", DIRECT, "LOCALHOST,127.0.0.1"),
    Case("http://127.0.0.1:8000", PROXIED, "localhost"),
    Case("http://agent.test.", DIRECT, "agent.test", odd="requests httpx2"),
    # everything
    Case("http://agent.test", DIRECT, "*"),
    Case("http://10.1.2.3", DIRECT, "*"),
    Case("http://agent.test", DIRECT, "other.test,*", odd="requests curl"),
    # ports
    Case("http://agent.test:8000", DIRECT, "agent.test:8000", odd="curl"),
    Case("http://agent.test:8000", PROXIED, "agent.test:9000"),
    Case("http://agent.test", DIRECT, "agent.test:80", odd="requests curl httpx2"),
    Case("http://[::1]:8000", DIRECT, "[::1]:8000", odd="requests curl"),
    # addresses and networks
    Case("http://127.0.0.1:8000", DIRECT, "127.0.0.1"),
    Case("http://10.1.2.3", DIRECT, "10.1.2.3"),
    Case("http://10.1.2.3", DIRECT, "10.0.0.0/8"),
    Case("http://10.1.2.3", DIRECT, "10.1.2.3/16"),
    Case("http://10.1.2.3", DIRECT, "192.168.0.0/16,10.1.2.0/24"),
    Case("http://10.1.2.3", PROXIED, "10.2.0.0/16"),
    Case("http://10.1.2.30", PROXIED, "10.1.2.3"),
    Case("http://192.168.1.1", DIRECT, "192.168.1.1/32"),
    Case("http://agent.test", PROXIED, "10.0.0.0/8"),
    Case("http://10.1.2.3", PROXIED, "10.0.0.0/99"),
    Case("http://[::1]:8000", DIRECT, "::1"),
    Case("http://[::1]:8000", DIRECT, "[::1]", odd="requests curl"),
    Case("http://[::1]:8000", DIRECT, "::1/128", odd="requests curl"),
    Case("http://[fe80::1]", DIRECT, "fe80::/10", odd="requests curl"),
    Case("http://[fd00::1]", PROXIED, "fe80::/10"),
    Case("http://[2001:db8::1]", DIRECT, "2001:db8::/32", odd="requests curl"),
    Case("http://[0:0:0:0:0:0:0:1]", DIRECT, "::1", odd="requests httpx2"),
    # httpx's own forms
    Case("http://agent.test", DIRECT, "http://agent.test", odd="requests curl"),
    Case("http://agent.test", PROXIED, "https://agent.test"),
    Case("http://agent.test:8000", DIRECT, "http://agent.test:8000", odd="requests curl"),
    # a SOCKS proxy does no harm for a direct address
    Case("http://agent.test", DIRECT, "agent.test", variable="all_proxy"),
    Case("http://127.0.0.1:8000", DIRECT, "127.0.0.0/8", variable="all_proxy"),
]


@pytest.fixture
def set_variables(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set these proxy variables, and remove all others."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def set_all(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_all


@contextmanager
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """Answer every request with 204, and record its first line."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        asked.append(connection.recv(65536).split(b"\r\n")[0])
                        connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def by_requests(address: str, _: Any) -> bool:
    return select_proxy(address, get_environ_proxies(address)) is not None


def by_httpx2(address: str, _: Any) -> bool:
    with httpx2.Client(verify=False) as client:
        return client._transport_for_url(httpx2.URL(address)) is not client._transport


def by_curl(address: str, asked: list[bytes]) -> bool:
    """Return curl's choice; curl can only reach this machine, and resolves no names."""
    curl, url = shutil.which("curl"), urlsplit(address)
    assert curl is not None
    before = len(asked)
    name = f"{url.hostname}:{url.port or 80}:127.0.0.1"
    resolved = [] if ":" in str(url.hostname) else ["--resolve", name]
    command = [curl, "--silent", "--max-time", "5", "--interface", "lo", *resolved, "--globoff", address]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    return len(asked) > before


OTHERS = {"requests": by_requests, "httpx2": by_httpx2} | ({"curl": by_curl} if shutil.which("curl") else {})


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.address}-{case.variable}-{case.no_proxy}")
def test_proxies_are_chosen_as_others_choose_them(set_variables: Callable[..., None], case: Case) -> None:
    """The choice equals that of requests, httpx2 and curl, except for features that only one of them has."""
    with proxy() as (url, asked):
        set_variables(**{case.variable: url, "no_proxy": case.no_proxy})
        assert proxy_for(case.address, getproxies()) == (url if case.is_proxied else None)
        peers = [name for name in OTHERS if name not in case.odd.split()]
        told = {name: OTHERS[name](case.address, asked) for name in peers}
    assert told == dict.fromkeys(peers, case.is_proxied)


@pytest.mark.parametrize("name", ["socks", "socks5", "socks5h"])
def test_a_proxy_that_needs_an_extra_names_it(name: str) -> None:
    """The package for SOCKS is not installed here; for an address in NO_PROXY it is not needed."""
    proxies = {"all": f"{name}://127.0.0.1:1080", "no": "127.0.0.0/8"}
    with pytest.raises(ValueError, match=rf"ALL_PROXY names a {name}:// proxy.*pip install 'httpx\[socks\]'"):
        proxy_for("http://agent.test", proxies)
    assert proxy_for("http://127.0.0.1:8000", proxies) is None


def test_a_proxy_of_an_unknown_kind_is_refused() -> None:
    """The message has the variable, and the supported kinds."""
    with pytest.raises(ValueError, match=r"HTTPS_PROXY names a ftp:// proxy; http, https, socks5 and socks5h"):
        proxy_for("https://agent.test", {"https": "ftp://proxy:1"})


@pytest.mark.parametrize("name", ["proxy:3128", " proxy:3128", "HTTP://proxy:3128"])
def test_a_proxy_may_lack_its_scheme(name: str) -> None:
    """The variable may also begin with a blank, or with a scheme in uppercase."""
    assert proxy_for("https://agent.test", {"https": name}) == "http://proxy:3128"


INVALID = (
    "http:// http://:3128 //proxy:1 proxy:port http://[::1 [v1.x]:1 proxy:99999 proxy:-1 proxy:0 http:proxy:1 a..b:1"
)


@pytest.mark.parametrize("name", [*INVALID.split(), f"{'a' * 70}:1", "256.1.1.1:1", "a\tb:1", "a b:1", "proxy:1?x"])
def test_an_invalid_proxy_is_refused(make_facade: Callable[..., Any], set_variables: Any, name: str) -> None:
    """The message has the variable, and no password; it comes before the first call."""
    for credentials in ("", "user:pa55@"):
        scheme, mark, rest = name.rpartition("://")
        set_variables(http_proxy=f"{scheme}{mark}{credentials}{rest}")
        with pytest.raises(ValueError, match="HTTP_PROXY ") as refused:
            make_facade("http://agent.test")
        assert "pa55" not in str(refused.value)


def test_an_error_names_the_proxy(make_facade: Callable[..., Any], set_variables: Any) -> None:
    """A refused connection would look like the agent's otherwise."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    set_variables(http_proxy=f"http://user:pa55@127.0.0.1:{port}")
    with pytest.raises(exceptions.ClientConnectionError, match=f"through the proxy 127.0.0.1:{port}: ") as refused:
        make_facade("http://agent.invalid").health_check()
    assert "pa55" not in str(refused.value)


def first_of(events: Any, facade: Any) -> Any:
    """Return the first event of a log, with either client."""

    async def first() -> Any:
        return await anext(events)

    return facade.finish(first()) if hasattr(events, "__anext__") else next(events)


def test_calls_and_streams_take_the_same_way(
    make_facade: Callable[..., Any], set_variables: Callable[..., None]
) -> None:
    """Both use the proxy, or neither; for a direct address, ALL_PROXY does not matter."""
    with proxy() as (url, asked):
        set_variables(http_proxy=url)
        facade = make_facade("http://agent.invalid")
        for call in (facade.health_check, lambda: first_of(facade.client.tail_job_logs("j"), facade)):
            with pytest.raises(exceptions.ClientError):
                call()
        assert [line.split()[1] for line in asked] == [
            b"http://agent.invalid/health/",
            b"http://agent.invalid/jobs/j/logs/stream/",
        ]
