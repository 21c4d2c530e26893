"""Checks of the connection to the agent, and of what it reports."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.resources import files
from typing import Any
from urllib.parse import SplitResult, urlsplit

from synapse_agent.cli.doctor.findings import Finding, fault, ok, skipped, warning
from synapse_agent.cli.target.filesystem_probe import may_share_files
from synapse_agent.cli.target.resolve import Target
from synapse_agent.cli.terminal.sanitize import one_line
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.clients.agent.network import proxy_for, tls_context
from synapse_sdk.exceptions import AuthenticationError, AuthorizationError, ClientError, NotFoundError

SECONDS = 5.0
CLOCK_SKEW = 60.0
"""Difference between clocks, in seconds, that is worth a warning."""
EXPIRES_SOON = 14
"""Days."""
MOST_JOBS = 100
"""The newest jobs, whose times are checked."""
MOST_WARNINGS = 20
"""Limit for plugins' warnings, so that others remain visible among them."""
_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_GIVE_ANOTHER = "pass the agent's address with --url, SYNAPSE_AGENT_URL or 'synapse-agent use NAME --url URL'"


def check_agent(target: Target, make_client: Callable[[], AgentClient]) -> Iterator[Finding]:
    """Check the connection to an agent step by step; after a fault, omit the steps that need the failed one."""
    try:
        parts = _parsed(target.url)
    except ValueError as error:
        found = f"{target.url}, from {target.url_from}, is not an address: {one_line(str(error))}"
        yield fault("address", found, _GIVE_ANOTHER)
        return
    try:
        proxy = proxy_for(target.url)
    except ValueError as error:
        yield fault("proxy", str(error), f"unset it, or add {parts.hostname} to NO_PROXY")
        return
    yield proxy_finding(parts, proxy)
    address = address_finding(target, parts, proxy)
    yield address
    if address.status == "fault":
        return
    tls = tls_finding(target.url, parts, proxy)
    yield tls
    if tls.status == "fault":
        return
    client = make_client()
    yield health_finding(client)
    token = token_finding(client, target)
    yield token
    if token.status == "ok":
        yield from plugin_findings(client)
        yield nodes_finding(client)
        yield from bounds_findings(client)
        yield from import_findings(client)
    yield from contract_and_clock_findings(client)


def proxy_finding(parts: SplitResult, proxy: str | None) -> Finding:
    """Check the proxy."""
    if proxy is None:
        return ok("proxy", "none: requests go directly to the agent")
    shown = _without_secrets(proxy)
    if may_share_files(f"//{parts.netloc}"):
        return fault(
            "proxy",
            f"requests to this machine's own address go through the proxy {shown}",
            f"add {parts.hostname} to NO_PROXY",
        )
    try:
        _connect(urlsplit(proxy)).close()
    except (OSError, ValueError) as error:
        return fault(
            "proxy",
            f"the proxy {shown} is not reachable: {error}",
            f"fix {parts.scheme.upper()}_PROXY, or add {parts.hostname} to NO_PROXY",
        )
    return ok("proxy", f"requests go through {shown}")


def address_finding(target: Target, parts: SplitResult, proxy: str | None) -> Finding:
    """Check the address: whether it is valid, and a server listens there."""
    found = f"{target.url}, from {target.url_from}"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return fault("address", f"{found}, is not an address such as https://agent.example.com", _GIVE_ANOTHER)
    if proxy is not None:
        return ok("address", f"{found}; the proxy connects to it")
    try:
        _connect(parts).close()
    except socket.gaierror as error:
        return fault("address", f"{found}: the name {parts.hostname} was not found ({error.strerror})", _GIVE_ANOTHER)
    except (OSError, ValueError) as error:
        start = "start the agent ('synapse-agent serve --plugins DIR'), or " if may_share_files(target.url) else ""
        return fault("address", f"{found}: no response ({error})", f"{start}{_GIVE_ANOTHER}")
    return ok("address", found)


def tls_finding(url: str, parts: SplitResult, proxy: str | None) -> Finding:
    """Check the encryption as the client would."""
    if parts.scheme == "http":
        if may_share_files(url):
            return ok("TLS", "none needed: the agent is on loopback")
        return warning("TLS", "none: tokens and data can be read in transit", "put TLS before the agent, and use https")
    if proxy is not None:
        return skipped("TLS", "a proxy is in between; the client checks the certificate at each connection")
    try:
        context = tls_context()
    except ValueError as error:
        return fault("TLS", one_line(str(error)), "set the variable to a file of CA certificates, or unset it")
    try:
        with _connect(parts) as connection, context.wrap_socket(connection, server_hostname=parts.hostname) as secured:
            return certificate_finding(secured.version() or "TLS", secured.getpeercert() or {}, now=time.time())
    except ssl.SSLCertVerificationError as error:
        return fault(
            "TLS",
            f"the certificate is not trusted: {error.verify_message}",
            "for a private CA, set SSL_CERT_FILE to its certificate",
        )
    except (OSError, ValueError) as error:
        return fault("TLS", f"no encrypted connection: {one_line(str(error))}", "is it http, or another port?")


def certificate_finding(version: str, certificate: Mapping[str, Any], *, now: float) -> Finding:
    """Check how long a trusted certificate remains valid."""
    if "notAfter" not in certificate:
        return ok("TLS", version)
    days = int((ssl.cert_time_to_seconds(certificate["notAfter"]) - now) // 86400)
    found = f"{version}, the certificate is valid for {days} more days"
    return ok("TLS", found) if days >= EXPIRES_SOON else warning("TLS", found, "renew the agent's certificate")


def health_finding(client: AgentClient) -> Finding:
    """Check what the agent reports about itself."""
    began = time.perf_counter()
    try:
        health = client.health_check()
    except ClientError as error:
        fix = "is another program at this address? See the agent's log"
        return fault("agent", one_line(error.message), fix)
    took = f"{(time.perf_counter() - began) * 1000:.0f} ms"
    found = f"{health.get('status')}, version {health.get('version', 'unknown')}, answered in {took}"
    if health.get("status") != "ok":
        return fault("agent", found, "see the agent's log")
    if "idempotent-runs" not in (health.get("features") or ()):
        fix = "after a broken connection, check with 'synapse-agent jobs list' whether the run started"
        return warning("agent", f"{found}; repeated requests may run twice", fix)
    return ok("agent", found)


def bounds_findings(client: AgentClient) -> Iterator[Finding]:
    """Check whether the agent limits memory and processes of runs by default; other agents do not report it."""
    sandbox = client.health_check().get("sandbox")
    restricts = sandbox and sandbox.get("restricts")
    if restricts is None:
        return
    missing = [name for name in ("memory", "processes") if name not in restricts]
    if not missing:
        yield ok("bounds", "memory and processes of runs have limits")
        return
    found = f"runs have no limit of {' and '.join(missing)}"
    fix = "delegate a control group (Delegate=yes in the systemd unit), or set --max-memory and --max-processes"
    yield warning("bounds", found, fix) if "processes" in missing else ok("bounds", f"{found}: {fix}")


def token_finding(client: AgentClient, target: Target) -> Finding:
    """Check the token with a request that needs one."""
    fix = "pass the agent's token with --token-file, SYNAPSE_AGENT_TOKEN or 'synapse-agent use NAME --token-file FILE'"
    source = f"the token from {target.token_from}" if target.token_from else "no token"
    try:
        client.list_plugin_releases({"page_size": 1})
    except AuthenticationError:
        return fault("token", f"the agent rejects {source}", fix)
    except AuthorizationError as error:
        return fault("token", one_line(error.message), "serve that name, with --allowed-host")
    except ClientError as error:
        return fault("token", f"the check failed: {one_line(error.message)}", "see the agent's log")
    return ok("token", f"the agent accepts {source}")


def plugin_findings(client: AgentClient) -> Iterator[Finding]:
    """Report the warnings about the cached plugins, such as keys without effect."""
    try:
        releases, total = client.list_plugin_releases(list_all=True)
    except ClientError as error:
        yield skipped("plugins", f"they could not be listed: {one_line(error.message)}")
        return
    warnings = [
        f"{release['plugin']}@{release['version']}: {one_line(text)}"
        for release in releases
        for text in release.get("warnings", ())
    ]
    for text in warnings[:MOST_WARNINGS]:
        yield warning("plugins", text, "fix the plugin, then 'synapse-agent create CODE@VERSION --refresh'")
    if len(warnings) > MOST_WARNINGS:
        more = f"{len(warnings) - MOST_WARNINGS} more warnings"
        yield warning("plugins", more, "'synapse-agent get CODE@VERSION' shows a release's warnings")
    if not warnings:
        yield ok("plugins", f"{total} cached, without warnings")


def nodes_finding(client: AgentClient) -> Finding:
    """Report the resources of the agent's machine or cluster."""
    try:
        resources = client.get_cluster_resources()
    except NotFoundError:
        return skipped("nodes", "the agent does not report its machine's resources")
    except ClientError as error:
        return fault("nodes", one_line(error.message), "see the agent's log")
    nodes, gpu = resources["node_counts"], resources["gpu"]
    found = (
        f"{nodes['alive']} of {nodes['total']}, with {resources['cpu']['total']:g} CPUs,"
        f" {resources['memory']['total'] / 2**30:.1f} GiB of memory and {gpu['total_gpus']:g} GPUs;"
        f" {resources['running_jobs']} jobs are running"
    )
    return ok("nodes", found)


def import_findings(client: AgentClient) -> Iterator[Finding]:
    """Report actions whose newest run mostly imported."""
    newest: dict[tuple[Any, str], Any] = {}
    try:
        for job in client.list_jobs(limit=MOST_JOBS):
            if job.get("timings"):
                newest.setdefault((job["release"], job["action"]), job["timings"])
    except ClientError as error:
        yield fault("imports", one_line(error.message), "see the agent's log")
        return
    slow = {key: times["hint"] for key, times in newest.items() if times.get("hint")}
    if not slow:
        yield ok("imports", "no action's newest run spent most of its time on imports")
    for (release, action), hint in slow.items():
        found, _, cure = hint.partition(". ")
        yield warning("imports", f"{action} of {release or 'a debug run'}: {found}", one_line(cure))


def contract_and_clock_findings(client: AgentClient) -> Iterator[Finding]:
    """Check the agent's contract and clock with one response."""
    began = time.time()
    try:
        response = client.api.get_httpx_client().request(method="GET", url="/openapi.json")
    except ClientError:
        yield skipped("clock", "no response of the agent to read a time from")
        yield contract_finding(own_contract_version(), None)
        return
    yield clock_finding(_moment(response.headers.get("Date")), (began + time.time()) / 2)
    theirs = contract_version(response.content) if response.status_code == 200 else None
    yield contract_finding(own_contract_version(), theirs)


def clock_finding(theirs: datetime | None, ours: float) -> Finding:
    """Check the difference between the agent's clock and ours."""
    if theirs is None:
        return skipped("clock", "the agent's responses carry no time")
    skew = theirs.timestamp() + 0.5 - ours  # the header has full seconds
    if abs(skew) <= CLOCK_SKEW:
        return ok(
            "clock", f"the agent's is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}, within {CLOCK_SKEW:g} s"
        )
    where = "ahead of" if skew > 0 else "behind"
    return warning("clock", f"the agent's is {abs(skew):.0f} s {where} ours", "synchronize both machines by NTP")


def contract_finding(own: str, theirs: str | None) -> Finding:
    """Check by the contract whether client and agent are compatible: the major versions must match."""
    if theirs is None:
        return skipped("contract", f"the agent does not serve its contract; ours is {own}")
    found = f"the agent's is {theirs}, ours {own}"
    if theirs.partition(".")[0] != own.partition(".")[0]:
        return fault("contract", found, "install the agent's version of synapse-agent-client")
    return ok("contract", found)


def own_contract_version() -> str:
    """Return the version of the contract that this client was generated from."""
    contract = json.loads((files("synapse_agent_api") / "openapi.json").read_text(encoding="utf-8"))
    return str(contract["info"]["version"])


def contract_version(body: bytes) -> str | None:
    """Return the version of a contract, None for anything else."""
    try:
        content = json.loads(body)
    except ValueError:
        return None
    info = content.get("info") if isinstance(content, dict) else None
    version = info.get("version") if isinstance(info, dict) else None
    return one_line(version, longest=40) if isinstance(version, str) else None


def _moment(date: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(date) if date else None
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment else None


def _parsed(url: str) -> SplitResult:
    parts = urlsplit(url)
    _ = parts.port  # reading it raises `ValueError` if invalid
    return parts


def _connect(parts: SplitResult) -> socket.socket:
    return socket.create_connection((parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 80)), timeout=SECONDS)


def _without_secrets(proxy: str) -> str:
    parts = urlsplit(proxy)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
