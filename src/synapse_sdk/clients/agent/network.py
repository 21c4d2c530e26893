"""How a client reaches an agent: its proxy and TLS settings. For programs that check the connection."""

from __future__ import annotations

import ssl


def proxy_for(base_url: str) -> str | None:
    """Return the proxy through which a client reaches an agent, according to the environment; None for no proxy.

    Raises:
        ValueError: The environment's proxy for this address is invalid; the message has the reason.
    """
    from synapse_sdk.clients.agent._transport import proxies

    return proxies.proxy_for(base_url, proxies.getproxies())


def tls_context() -> ssl.SSLContext:
    """Return the TLS settings of a client without `verify` and `cert`.

    Raises:
        ValueError: The environment's CA certificates can't be read; the message has the variable.
    """
    from synapse_sdk.clients.agent._transport import tls

    return tls.tls_settings("", True, None)()
