"""How a client reaches an agent: through which proxy, and with which TLS settings. For programs that check the way."""

from __future__ import annotations

import ssl


def proxy_for(base_url: str) -> str | None:
    """Return the proxy through which a client reaches an agent, as the environment has it; None for no proxy.

    Raises:
        ValueError: The environment names a proxy for this address that can't be used; the message has the reason.
    """
    from synapse_sdk.clients.agent._transport import proxies

    return proxies.proxy_for(base_url, proxies.getproxies())


def tls_context() -> ssl.SSLContext:
    """Return the TLS settings of a client that is made without `verify` and `cert`.

    Raises:
        ValueError: The environment names CA certificates that can't be read; the message has the variable.
    """
    from synapse_sdk.clients.agent._transport import tls

    return tls.tls_settings("", True, None)()
