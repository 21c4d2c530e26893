"""The agent's certificate, checked before the first connection."""

from __future__ import annotations

import ssl
from pathlib import Path

from synapse_agent.errors import StartError

_PASSPHRASE = "none"  # so that OpenSSL does not prompt for one
_NOT_YET_VALID, _EXPIRED = 9, 10
"""OpenSSL's `X509_V_ERR_CERT_NOT_YET_VALID` and `X509_V_ERR_CERT_HAS_EXPIRED`."""


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """Create a context for TLS 1.2 and later; raise `StartError` if the files can't be used together, now."""
    chain, secret = _read(cert, "certificate"), _read(key, "key")
    if b"-----BEGIN CERTIFICATE-----" not in chain:
        raise StartError(f"The certificate {cert} is not in PEM format. Pass one with --tls-cert.")
    if b"PRIVATE KEY-----" not in secret:
        raise StartError(f"The key {key} is not a private key in PEM format. Pass one with --tls-key.")
    if b"ENCRYPTED" in secret:
        raise StartError(f"The key {key} is encrypted. Pass an unencrypted one: the agent can't ask for a passphrase.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load(context, cert, key)
    _check_dates(context, cert)
    return context


def load(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    """Load a certificate into a context, for new connections."""
    try:
        context.load_cert_chain(cert, key, password=_PASSPHRASE)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise StartError(f"The key {key} does not belong to the first certificate in {cert}.") from error
        raise StartError(f"The certificate {cert} cannot be used with the key {key}: {_said(error)}") from error


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartError(f"The {what} {path} cannot be read: {error.strerror}.") from error


def _check_dates(context: ssl.SSLContext, cert: Path) -> None:
    """Do a handshake with a client that trusts exactly this certificate, so that only its dates can fail."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cert)
    try:
        _shake_hands(client, context)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
            when = "has expired" if error.verify_code == _EXPIRED else "is not valid yet"
            raise StartError(f"The certificate {cert} {when}. Renew it, or set the machine's clock.") from error


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """Connect two contexts in memory, up to the client's verdict on the certificate."""
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
