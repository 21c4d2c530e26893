"""Fetching plugins from a backend that answers correctly, wrongly, slowly, or only in part."""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import trustme
from backends import MAIN, answer, moved, plugin_zip, record, release, send, zip_of
from faults import FaultServer, Step

from synapse_agent.plugins.backend.addresses import BackendFault, origin
from synapse_agent.plugins.backend.reach import Reach
from synapse_agent.plugins.backend.session import BackendSession, Bounds
from synapse_agent.plugins.backend.source import BackendSource
from synapse_agent.problems import Problem
from synapse_agent.settings import StartError, UsageError
from synapse_agent_api.http_library import httpx

pytestmark = pytest.mark.anyio

TOKEN = "very-secret-token"
ZIP = plugin_zip()
RECORD = "GET /api/plugin_releases/small%401.0.0/"
ARCHIVE = "GET /files/archive.zip"

Play = Callable[..., FaultServer]


@pytest.fixture
def play() -> Iterator[Play]:
    """Start backends that play a script."""
    with ExitStack() as stack:
        yield lambda *script: stack.enter_context(FaultServer(script))


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., Any]:
    """Fetch `small@1.0.0` from a backend below `/api` into an empty folder; return the path."""

    async def fetch(
        server: FaultServer, *, token: str | None = TOKEN, plugin: str = "small", every: float = 5.0, **bounds: Any
    ) -> Path:
        limits = Bounds(**{"connect": 10.0, "silence": 10.0, "total": 20.0, **bounds})
        into = tmp_path / "tmp" / "fetched"
        into.parent.mkdir(exist_ok=True)
        async with BackendSource(f"{server.base_url}/api", token=token, bounds=limits, report_every=every) as source:
            await source.fetch(plugin=plugin, version="1.0.0", into=into)
        return into

    return fetch


@pytest.fixture
def refusal(fetch: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Callable[..., Any]:
    """Fetch what can't be fetched; return the error. It is logged, and only the file `into` is left."""
    caplog.set_level(logging.DEBUG)

    async def refusal(server: FaultServer, **options: Any) -> Problem:
        with pytest.raises(Problem) as caught:
            await fetch(server, **options)
        assert {path.name for path in (tmp_path / "tmp").iterdir()} <= {"fetched"}
        problem = caught.value
        if problem.status == 502:
            assert problem.error_type == "backend_error"
            assert problem.message in caplog.messages
        assert TOKEN not in problem.message + repr(problem) + caplog.text
        return problem

    return refusal


def tokens(server: FaultServer) -> list[str | None]:
    return [request.headers.get("authorization") for request in server.received]


async def test_a_plugin_is_found_downloaded_and_unpacked(play: Play, fetch: Any) -> None:
    """The request has the token, and the release's name as one segment; only the plugin is left on the disk."""
    server = play(*release(ZIP))
    folder = await fetch(server)
    assert (folder / "main.py").read_text() == MAIN
    assert list(folder.parent.iterdir()) == [folder]
    assert [f"{request.method} {request.target}" for request in server.received] == [RECORD, ARCHIVE]
    assert tokens(server) == [f"Token {TOKEN}"] * 2
    assert server.received[0].headers["accept"] == "application/json"


@pytest.mark.parametrize(
    ("plugin", "segment"),
    [
        ("a/b", "a%2Fb%401.0.0"),
        ("at@work", "at%40work%401.0.0"),
        ("50%", "50%25%401.0.0"),
        ("한 ?#", "%ED%95%9C%20%3F%23%401.0.0"),
    ],
)
async def test_a_name_is_one_segment_whatever_is_in_it(play: Play, refusal: Any, plugin: str, segment: str) -> None:
    """The name is percent-encoded."""
    server = play(send(status="404 Not Found"))
    assert (await refusal(server, plugin=plugin)).status == 404
    assert server.received[0].target == f"/api/plugin_releases/{segment}/"


async def test_a_backend_without_a_token_is_sent_none(play: Play, fetch: Any) -> None:
    """The request has no `Authorization` header, not even an empty one."""
    server = play(*release(ZIP))
    await fetch(server, token=None)
    assert tokens(server) == [None, None]


async def test_a_record_may_be_compressed(play: Play, fetch: Any) -> None:
    """Many servers compress by default."""
    body = gzip.compress(record(ZIP))
    folder = await fetch(play(send(body, content_encoding="gzip"), send(ZIP)))
    assert (folder / "main.py").exists()


@pytest.mark.parametrize("url", ["../../../files/archive.zip", "/files/archive.zip", "//{host}/files/archive.zip"])
async def test_an_archives_address_may_be_relative_to_its_record(play: Play, fetch: Any, url: str) -> None:
    """It is resolved like a link in a page."""
    server = play(Step(lambda: answer(record(ZIP, archive_url=url.format(host=server.base_url[7:])))), send(ZIP))
    await fetch(server)
    assert server.received[1].target == "/files/archive.zip"


async def test_the_token_goes_to_no_other_host_that_has_the_archive(play: Play, fetch: Any) -> None:
    """Another port is another origin; a signature in the address is sent."""
    store = play(send(ZIP))
    server = play(send(record(ZIP, archive_url=f"{store.base_url}/bucket/a.zip?signature=x%2Fy")))
    await fetch(server)
    assert tokens(server) == [f"Token {TOKEN}"]
    assert tokens(store) == [None]
    assert store.received[0].target == "/bucket/a.zip?signature=x%2Fy"
    assert TOKEN not in str(store.received)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_redirects_are_followed_and_the_token_stays_at_home(play: Play, fetch: Any, status: str) -> None:
    """The agent sends it to the backend's origin only, for the record and for the archive."""
    other = play()
    server = play(
        moved("/api/elsewhere/", status=status),
        moved(f"{other.base_url}/record", status=status),
        moved(f"{other.base_url}/archive", status=status),
    )
    other._script += [send(record(ZIP, archive_url=f"{server.base_url}/files/archive.zip")), send(ZIP)]
    await fetch(server)
    assert [request.target for request in other.received] == ["/record", "/archive"]
    assert tokens(other) == [None, None]
    assert tokens(server) == [f"Token {TOKEN}"] * 3


async def test_cookies_are_not_kept(play: Play, fetch: Any) -> None:
    """Cookies would be sent to every port of the host."""
    server = play(send(record(ZIP), set_cookie="session=1; Path=/"), send(ZIP))
    await fetch(server)
    assert "cookie" not in server.received[1].headers


async def test_a_release_that_is_not_there_is_not_found(play: Play, refusal: Any) -> None:
    """The answer is 404 with the backend's address."""
    server = play(send(b'{"detail": "Not found."}', status="404 Not Found"))
    problem = await refusal(server)
    assert (problem.status, problem.error_type) == (404, "release_not_found")
    assert problem.message == f"The backend {server.base_url} has no 'small@1.0.0'."


BOUNDS = {"stall": {"silence": 0.4}, "drip": {"total": 0.8}}
CHUNK = b"5\r\nabcde\r\n"
GOOD = send(record(ZIP))
LOOP = [moved("/again")] * 10
HEAD = len(answer(ZIP)) - len(ZIP)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param([Step(fault="refuse")], "its record is unreachable: Connection refused.", id="down"),
        pytest.param([Step(fault="close")], "its record got no valid HTTP response: ", id="hangs-up"),
        pytest.param([Step(fault="reset")], "its record got no valid HTTP response: ", id="resets"),
        pytest.param([Step(lambda: b"SSH-2.0\r\n\r\n")], "its record got no valid HTTP response: ", id="no-http"),
        pytest.param([Step(fault="stall")], "its record did not arrive: no data for 0.4 s", id="stalls"),
        pytest.param(
            [Step(lambda: answer(record(ZIP)), fault="stall", after=-10)],
            "its record did not arrive: no data for 0.4 s",
            id="stalls-in-record",
        ),
        pytest.param(
            [Step(lambda: answer(record(ZIP)), fault="drip", seconds=0.02)],
            "its record did not arrive within 0.8 s, the limit for a release",
            id="drips-record",
        ),
        pytest.param([send(status="500 Oh")], "answered with HTTP 500 Internal Server Error", id="500"),
        pytest.param([send(status="503 Oh", retry_after="1")], "answered with HTTP 503 Service Unavailable", id="503"),
        pytest.param([send(status="299 Odd")], "answered with HTTP 299", id="299"),
        pytest.param([send(status="204 No Content")], "answered with HTTP 204 No Content", id="204"),
        pytest.param([send(status="302 Found")], "answered with HTTP 302 Found", id="nowhere"),
        pytest.param(
            [send(b"{}", status="401 Unauthorized")],
            "its record was refused with HTTP 401 Unauthorized: the backend rejected the token, check",
            id="401",
        ),
        pytest.param([send(status="403 Forbidden")], "its record was refused with HTTP 403 Forbidden: the b", id="403"),
        pytest.param(
            [send(b"<html>", content_type="text/html")], "its record is not JSON, but 6 bytes of 'text/html'", id="html"
        ),
        pytest.param([send(b"[1]")], "its record is not a JSON object, but a list", id="list"),
        pytest.param([send(b" " * 1_048_577)], "its record has more than 1048576 bytes", id="large-record"),
        pytest.param(
            [send(b"plain", content_encoding="gzip")], "its record is damaged: it is not compressed", id="gzip-lie"
        ),
        pytest.param([send(record(ZIP, archive_url=None))], "its record has no URL of an archive", id="no-url"),
        pytest.param([send(record(ZIP, sha256=None))], "its record has no sha256: none of", id="no-sha256"),
        pytest.param([send(record(ZIP, sha256="abc"))], "its record has 'abc' in 'sha256' instead", id="no-hex"),
        pytest.param(
            [send(record(ZIP, archive_url="file:///etc/passwd"))],
            "its archive has an address of the kind 'file', not http or https",
            id="file",
        ),
        pytest.param([send(record(ZIP, archive_url="http://h:x/"))], "its archive has an", id="no-port"),
        pytest.param([send(record(ZIP, archive_url="http://h:65536/"))], "its archive has an", id="large-port"),
        pytest.param(LOOP, "its record has more than 5 redirects", id="loop"),
        pytest.param([moved("ftp://host/a")], "its record has an address of the kind", id="ftp"),
        pytest.param([GOOD, *LOOP], "its archive has more than 5 redirects", id="archive-loop"),
        pytest.param([GOOD, send(status="404 Not Found")], r"its archive was not found \(HTTP 404\)", id="archive-404"),
        pytest.param([GOOD, send(status="401 No")], "its archive was refused with HTTP 401 Un", id="archive-401"),
        pytest.param([GOOD, Step(fault="stall")], "its archive did not arrive: no data", id="archive-stalls"),
        pytest.param(
            [GOOD, Step(lambda: answer(ZIP), fault="close", after=HEAD + 100)],
            rf"its archive ended after 100 of {len(ZIP)} bytes\.",
            id="truncates",
        ),
        pytest.param(
            [GOOD, Step(lambda: answer(ZIP), fault="reset", after=HEAD + 100)],
            rf"its archive ended after \d+ of {len(ZIP)} bytes\.",
            id="resets-in-archive",
        ),
        pytest.param(
            [GOOD, Step(lambda: answer(CHUNK, content_length=None, transfer_encoding="chunked"), "close", None)],
            "its archive ended after 5 of an unknown number of bytes",
            id="chunked-without-end",
        ),
        pytest.param(
            [GOOD, Step(lambda: answer(ZIP, content_length=None), fault="close", after=-1)],
            "its archive does not match its checksum",
            id="truncates-unknown-length",
        ),
        pytest.param(
            [GOOD, Step(lambda: answer(ZIP), fault="stall", after=-10)],
            "its archive did not arrive: no data for 0.4 s",
            id="stalls-in-archive",
        ),
        pytest.param(
            [GOOD, Step(lambda: answer(ZIP), fault="drip", seconds=0.02)],
            "its archive did not arrive within 0.8 s, the limit for a release",
            id="drips",
        ),
        pytest.param(
            [GOOD, send(b"x" * len(ZIP))],
            r"its archive does not match its checksum: sha256 [0-9a-f]{64} in the record, but [0-9a-f]{64}\.",
            id="lies",
        ),
        pytest.param(
            [send(record(b"no zip")), send(b"no zip")],
            "its archive matches the record, but it is not a zip archive or is damaged",
            id="no-zip",
        ),
        pytest.param(
            [send(record(ZIP[:-30])), send(ZIP[:-30])], "its archive matches the record, but", id="half-a-zip"
        ),
    ],
)
async def test_a_failure_of_a_backend_is_described(play: Play, refusal: Any, script: list[Step], said: str) -> None:
    """The answer is 502 with the fault, and whether the record or the archive has it."""
    server = play(*script)
    server.expect_request()
    problem = await refusal(server, **BOUNDS.get(script[-1].fault or "", {}))
    assert problem.status == 502
    assert problem.message.startswith(f"Fetching 'small@1.0.0' from the backend {server.base_url} failed: ")
    assert re.search(said, problem.message), problem.message


async def test_connecting_to_a_backend_has_a_limit(tmp_path: Path) -> None:
    """The agent waits as long as its limit for connecting."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        with ExitStack() as stack:
            for _ in range(2):  # fill the queue of connections that the program has not accepted
                taken = stack.enter_context(socket.socket())
                taken.setblocking(False)
                taken.connect_ex(address)
            async with BackendSource(f"http://127.0.0.1:{address[1]}", bounds=Bounds(connect=0.2)) as source:
                with pytest.raises(Problem, match=r"its record is unreachable: no connection within 0\.2 s\."):
                    await source.fetch(plugin="small", version="1.0.0", into=tmp_path / "into")


async def test_the_backends_own_origin_is_known_however_it_is_written() -> None:
    """Case and user names don't matter; scheme, host and port do."""
    home = origin(httpx.URL("http://Backend.example:80/api"))
    assert home == origin(httpx.URL("HTTP://me:pass@backend.EXAMPLE/other"))
    for other in ("https://backend.example", "http://backend.example:8080", "http://backend.example.", "http://a.b"):
        assert home != origin(httpx.URL(other))


async def test_a_backend_that_wants_a_token_is_reported(play: Play, refusal: Any) -> None:
    """The message states that the agent has no token."""
    problem = await refusal(play(send(status="401 Unauthorized")), token=None)
    assert "401 Unauthorized: the backend requires a token, pass one with --backend-token-file." in problem.message


async def test_a_host_that_a_redirect_leads_to_is_named(play: Play, refusal: Any) -> None:
    """The message has the host if the answer is missing or incomplete."""
    for step, said in (
        (Step(fault="close"), "got no valid HTTP response: "),
        (Step(lambda: answer(ZIP), fault="close", after=HEAD + 7), f"ended after 7 of {len(ZIP)} bytes"),
    ):
        store = play(step)
        message = (await refusal(play(GOOD, moved(f"{store.base_url}/a?signature=hidden")))).message
        assert f"its archive {said}" in message
        assert message.endswith(f" (redirected to {store.base_url}).")


async def test_another_host_that_refuses_is_named(play: Play, refusal: Any) -> None:
    """The message has only the host, and does not mention the token, which was not sent."""
    store = play(send(status="403 Forbidden"))
    problem = await refusal(play(send(record(ZIP, archive_url=f"{store.base_url}/a?signature=hidden"))))
    assert problem.message.endswith(
        f"its archive at {store.base_url} was refused with HTTP 403 Forbidden: "
        f"{store.base_url} is not the backend's host, so it does not get the token."
    )
    store = play(send(status="500 Oh"))
    problem = await refusal(play(GOOD, moved(f"{store.base_url}/a?signature=hidden")))
    told = f"its archive was answered with HTTP 500 Internal Server Error (redirected to {store.base_url})."
    assert problem.message.endswith(told)


@pytest.mark.parametrize(
    "script",
    [
        [send(ZIP)],
        [Step(lambda: answer(ZIP, content_length=None), fault="close", after=None)],
        [send(gzip.compress(bytes(100_000)), content_encoding="gzip")],
    ],
)
async def test_an_archive_that_is_too_large_is_not_taken(play: Play, refusal: Any, script: list[Step]) -> None:
    """The limit applies to its declared, its real and its unpacked size."""
    problem = await refusal(play(GOOD, *script), archive_bytes=len(ZIP) - 1)
    assert f"this agent's limit is {len(ZIP) - 1} (--max-archive-size)" in problem.message


async def test_a_token_that_comes_back_is_not_passed_on(
    play: Play, refusal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A backend may echo its request in a field, a content type or a line that is not HTTP."""
    caplog.set_level(logging.INFO)  # below it, the HTTP library logs every header
    for step in (
        send(record(ZIP, sha256=f"sent: Token {TOKEN}")),
        send(b"?", content_type=TOKEN),
        Step(lambda: f"Token {TOKEN}\r\n\r\n".encode()),
        send(record(ZIP, archive_url=f"{TOKEN}:x")),
    ):
        assert (await refusal(play(step))).status == 502


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (r"a\secret", {"sha256": r"sent: a\secret"}),
        ("A-Secret", {"archive_url": "http://A-Secret.invalid/a.zip"}),
    ],
    ids=["escaped", "a host in lower case"],
)
async def test_a_token_that_comes_back_in_another_form_is_not_passed_on_either(
    play: Play, refusal: Any, token: str, told: dict[str, str]
) -> None:
    """Messages escape quoted text, and have hosts in lower case."""
    message = (await refusal(play(send(record(ZIP, **told))), token=token)).message
    assert "(token)" in message
    assert "secret" not in message.lower()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"readme": b""}, "it contains no config.yaml"),
        ({"config.yaml": b"", "../up": b""}, "it contains a file whose name is not allowed: '../up'"),
    ],
)
async def test_an_archive_of_something_else_is_no_plugin(
    play: Play, refusal: Any, files: dict[str, bytes], said: str
) -> None:
    """The answer is 422, as for a folder, since the archive is intact."""
    problem = await refusal(play(*release(zip_of(files))))
    assert (problem.status, problem.error_type) == (422, "invalid_archive")
    assert problem.message.startswith(f"The archive of 'small@1.0.0': {said}")


@pytest.mark.parametrize("script", [[Step(fault="stall")], [GOOD, Step(lambda: answer(ZIP), fault="stall", after=-9)]])
async def test_a_fetch_that_is_cancelled_ends_at_once_and_leaves_nothing(
    play: Play, fetch: Any, tmp_path: Path, script: list[Step]
) -> None:
    """This holds before the first byte and before the last one."""
    server = play(*script)
    fetching = asyncio.create_task(fetch(server, silence=60, total=60))
    while server.left:  # noqa: ASYNC110 - the server has no event to wait for
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    began = time.monotonic()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert time.monotonic() - began < 30
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_a_download_is_logged(play: Play, fetch: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The lines have the release, the host, and the received and total bytes."""
    caplog.set_level(logging.INFO, logger="synapse_agent")
    server = play(*release(ZIP))
    await fetch(server, every=0)
    name, size = f"'small@1.0.0' from {server.base_url}", len(ZIP)
    assert caplog.messages[0] == f"Downloading {name}: 0 of {size} bytes (0 %)"
    assert f"Downloading {name}: {size} of {size} bytes (100 %)" in caplog.messages
    assert caplog.messages[-1].startswith(f"Downloaded {name}: {size} bytes in ")


async def test_proxy_variables_are_used(play: Play, fetch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy gets the whole address."""
    proxy = play(*release(ZIP))
    nowhere = play()
    monkeypatch.setenv("HTTP_PROXY", proxy.base_url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    await fetch(nowhere)
    assert proxy.received[0].target == f"{nowhere.base_url}/api/plugin_releases/small%401.0.0/"
    assert nowhere.received == []


async def test_invalid_proxy_variables_are_reported_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variables in one line."""
    monkeypatch.setenv("ALL_PROXY", "gopher://host")
    with pytest.raises(StartError, match=r"proxies or certificates are invalid.* ALL_PROXY"):
        BackendSource("http://host")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ftp://host", "must be an http or https URL"),
        ("host/api", "must be an http or https URL"),
        ("http://", "must be an http or https URL"),
        ("http://host/?a=hidden", "'http://host/' must be an http or https URL .* without query"),
        ("user:hidden@host", "'host' must be an http or https URL"),
        ("http://host:x", "is invalid"),
        ("http://host:65536", "must be an http or https URL"),
        ("http://user:hidden@host", "contains a user or password. Pass a token"),
    ],
)
async def test_an_address_that_is_none_is_a_wrong_call(address: str, said: str) -> None:
    """The message omits a password in it."""
    with pytest.raises(UsageError, match=said) as caught:
        BackendSource(address)
    assert "hidden" not in str(caught.value)


@pytest.fixture
def secure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """A backend with TLS, whose authority is in `SSL_CERT_FILE`; it redirects to http."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"https://localhost:{server.server_address[1]}", seen
        server.shutdown()
        thread.join()


async def test_what_is_encrypted_stays_so(secure: tuple[str, list[str]], tmp_path: Path) -> None:
    """The agent does not follow a redirect from https to http: anyone on the network could answer there."""
    address, seen = secure
    async with BackendSource(address, token=TOKEN) as source:
        with pytest.raises(Problem, match=r"is redirected from https://localhost:\d+ to http://127\.0\.0\.1:9, which"):
            await source.fetch(plugin="small", version="1.0.0", into=tmp_path / "into")
    assert seen == ["/plugin_releases/small%401.0.0/"]


async def test_an_untrusted_certificate_is_reported(
    secure: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent sends no request to that host."""
    monkeypatch.delenv("SSL_CERT_FILE")
    address, seen = secure
    async with BackendSource(address, token=TOKEN) as source:
        with pytest.raises(Problem, match=r"its record is unreachable: .*certificate verify failed"):
            await source.fetch(plugin="small", version="1.0.0", into=tmp_path / "into")
    assert seen == []


METADATA = "http://169.254.169.254/latest/meta-data"


async def test_a_record_cannot_make_the_agent_ask_its_own_network(play: Play, refusal: Any) -> None:
    """A record's addresses and redirects are both refused; nothing is sent, and the message names the option."""
    for script in ([send(record(ZIP, archive_url=METADATA))], [send(record(ZIP)), moved(METADATA)]):
        problem = await refusal(play(*script))
        assert problem.message.endswith(
            "is at http://169.254.169.254, which is not a public address, so no request was sent; "
            "the agent's operator can allow it with --backend-allow 169.254.169.254."
        )


async def test_the_address_that_answers_is_looked_at_as_well(play: Play) -> None:
    """The name has a public address when it is checked, and this machine's when the agent connects."""
    server = play(*release(ZIP))

    async def resolve(_: str) -> list[Any]:
        return [ip_address("93.184.215.14")]

    reach = Reach(httpx.URL("https://public.example"), resolve=resolve)
    session = BackendSession(httpx.URL("https://public.example"), token=None, bounds=Bounds(), reach=reach)
    url = httpx.URL(server.base_url).copy_with(host="localhost")
    with pytest.raises(BackendFault, match="not a public address"):
        async with session.get(url, headers={}, until=asyncio.get_running_loop().time() + 20):
            pass
    await session.close()


async def test_a_backend_is_asked_for_versions_by_name_alone() -> None:
    """Versions are not listed, and changes not detected: the agent sends no request."""
    async with BackendSource("http://127.0.0.1:9/api") as source:
        assert await source.state(plugin="small", version="1.0.0") is None
        with pytest.raises(Problem, match="does not list versions") as caught:
            await source.versions("small")
    assert (caught.value.status, caught.value.error_type) == (422, "ambiguous_release")
