"""The environment variables that the command line reads."""

from __future__ import annotations

from synapse_agent.cli.target.resolve import TOKEN_VARIABLE, URL_VARIABLE

VARIABLES = {
    URL_VARIABLE: "Address of the agent, unless `--url` or `--agent` is passed.",
    TOKEN_VARIABLE: (
        "The agent's token, unless `--token`, `--token-file` or `--agent` is passed; with `serve`, the token that "
        "callers must send."
    ),
    "SYNAPSE_BACKEND_TOKEN": "With `serve`, the backend's token, if no option, variable or file has it.",
    "SYNAPSE_AGENT_…": "With `serve`, the option of that name; see its table.",
    "SYNAPSE_USER_TOKEN": "Token of a user to act for.",
    "SYNAPSE_TENANT": "Tenant to act within.",
    "SYNAPSE_HTTP_LIBRARY": "HTTP library of the client: `httpx`, the default, or `httpx2`.",
    "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY": "Proxies for requests to the agent, and exceptions.",
    "SSL_CERT_FILE, SSL_CERT_DIR": "CA certificates to trust, if the agent's is private.",
    "XDG_CONFIG_HOME": "`use` stores named agents in it (`synapse-agent/agents.json`); `~/.config` by default.",
    "XDG_STATE_HOME": "`serve` stores data and token in it (`synapse-agent/`); `~/.local/state` by default.",
    "NO_COLOR": "No colors, for any value.",
    "SYNAPSE_AGENT_CHECK_ANSWERS": "With `serve`, `1` checks responses against the contract, in tests.",
    "TERM": "`dumb` turns off moving output, such as progress bars.",
}
"""Names and descriptions."""
