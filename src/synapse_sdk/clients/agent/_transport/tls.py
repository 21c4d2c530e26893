"""TLS settings from the caller's arguments or the environment's CA bundle."""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from synapse_agent_api.http_library import httpx

Verify = bool | str | ssl.SSLContext
"""Whether to check the agent's certificate; a file or folder of CA certificates; or all TLS settings."""

Cert = str | tuple[str, str] | tuple[str, str, str]
"""A client certificate: its file, `(file, key)` or `(file, key, password)`."""

Tls = Callable[[], ssl.SSLContext]
"""Returns the TLS settings: creating them takes milliseconds, and an http address needs none."""

CA_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name CA certificates; the first that is set counts."""

_FIXES = {
    "WRONG_VERSION_NUMBER": "The agent answers without TLS: use http:// instead of https://",
    "Hostname mismatch": "Use a name that its certificate contains",
    "IP address mismatch": "Use a name that its certificate contains",
    "certificate has expired": "Renew it, or correct the clock of this machine",
    "certificate is not yet valid": "Correct the clock of this machine",
    "CERTIFICATE_REQUIRED": "The agent demands a client certificate: pass cert=",
    "HANDSHAKE_FAILURE": "The agent may demand a client certificate: pass cert=",
    "CERTIFICATE_VERIFY_FAILED": "For a private CA, set SSL_CERT_FILE (in Python, verify=) to the CA's certificate",
}
"""What to do about a failed handshake, by OpenSSL's words for it, the most specific first."""


def tls_settings(base_url: str, verify: Verify, cert: Cert | None) -> Tls:
    """Return a function for the TLS settings, created once: at once for an https address, else when needed.

    Raises `ValueError` if arguments or environment are invalid. The function raises `OSError` if the process lacks a
    resource, such as file descriptors; a later call tries again.
    """

    @cache
    def settings() -> ssl.SSLContext:
        return _context(verify, cert, os.environ)

    if base_url.startswith("https:"):
        with suppress(OSError):  # the first call reports it
            settings()
    return settings


def with_fix(why: str) -> str:
    """Add to the text of an error what to do, if it is about TLS."""
    fix = next((fix for words, fix in _FIXES.items() if words in why), None)
    return f"{why}. {fix}." if fix else why


def _context(verify: Verify, cert: Cert | None, environ: Mapping[str, str]) -> ssl.SSLContext:
    if isinstance(verify, ssl.SSLContext):
        if cert is not None:
            raise ValueError("cert can't go with an SSLContext as verify: load the certificate into the context.")
        return _CallersContext(verify)  # type: ignore[return-value]  # it behaves like one
    given, name = _trusted(verify, environ)
    try:
        context = _trusting(given) if isinstance(given, str) else httpx.create_ssl_context(given, trust_env=False)
    except OSError as error:
        if _lacks_resource(error):
            raise
        raise ValueError(f"No CA certificates can be read from {name}={given!r}: {error}") from error
    if cert is not None:
        _present(context, (cert,) if isinstance(cert, str) else cert)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _present(context: ssl.SSLContext, cert: tuple[str, ...]) -> None:
    try:
        context.load_cert_chain(*cert)
    except OSError as error:
        if _lacks_resource(error):
            raise
        raise ValueError(f"No client certificate can be read from cert={cert[:2]!r}: {error}") from error


def _lacks_resource(error: OSError) -> bool:
    """Return whether an error is about the process or machine, not about the file; OpenSSL numbers its own errors."""
    return not isinstance(error, ssl.SSLError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def _trusted(verify: bool | str, environ: Mapping[str, str]) -> tuple[bool | str, str]:
    """Return the CA certificates to trust, and their source for messages."""
    if verify is not True:
        return verify, "verify"
    named = next(((environ[name], name) for name in CA_VARIABLES if environ.get(name)), None)
    return named or (True, "verify")


def _trusting(path: str) -> ssl.SSLContext:
    is_folder = any(Path(each).is_dir() for each in path.split(os.pathsep))  # OpenSSL accepts several folders
    return ssl.create_default_context(cafile=None if is_folder else path, capath=path if is_folder else None)


class _CallersContext:
    """The caller's TLS settings, unchanged: the HTTP library would set the ALPN protocols in them."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def set_alpn_protocols(self, _: list[str]) -> None:
        """Keep the caller's protocols."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)
