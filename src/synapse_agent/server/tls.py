"""The certificate that an agent shows, tried before anybody asks for it."""

from __future__ import annotations

import ssl
from pathlib import Path

from synapse_agent.errors import StartError

_PASSPHRASE = "none"  # given so that OpenSSL does not ask for one on the terminal
_NOT_YET_VALID, _EXPIRED = 9, 10
"""OpenSSL's `X509_V_ERR_CERT_NOT_YET_VALID` and `X509_V_ERR_CERT_HAS_EXPIRED`."""


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """Make a context for TLS 1.2 and later; `StartError` where the files can't be used together, now."""
    chain, secret = _read(cert, "certificate"), _read(key, "key")
    if b"-----BEGIN CERTIFICATE-----" not in chain:
        raise StartError(f"The certificate {cert} is no certificate in PEM: name one with --tls-cert.")
    if b"PRIVATE KEY-----" not in secret:
        raise StartError(f"The key {key} is no private key in PEM: name one with --tls-key.")
    if b"ENCRYPTED" in secret:
        raise StartError(f"The key {key} is encrypted, and an agent has nobody to ask for its passphrase.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load(context, cert, key)
    _check_dates(context, cert)
    return context


def load(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    """Have a context show a certificate to those who connect from now on."""
    try:
        context.load_cert_chain(cert, key, password=_PASSPHRASE)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise StartError(f"The key {key} is not that of the first certificate in {cert}.") from error
        raise StartError(f"The certificate {cert} cannot be used with the key {key}: {_said(error)}") from error


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartError(f"The {what} {path} cannot be read: {error.strerror}.") from error


def _check_dates(context: ssl.SSLContext, cert: Path) -> None:
    """Shake hands with a client that trusts just this certificate, and so objects to nothing but its dates."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cert)
    try:
        _shake_hands(client, context)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
            when = "has expired" if error.verify_code == _EXPIRED else "is not valid yet"
            raise StartError(f"The certificate {cert} {when}: renew it, or set the machine's clock.") from error


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """Let two contexts talk to each other in memory, as far as the client's judgement of the certificate."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for side in (*sides, sides[0]):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


def _said(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower() + "."
