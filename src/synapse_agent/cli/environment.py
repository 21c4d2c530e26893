"""The environment variables that the command line looks at."""

from __future__ import annotations

from synapse_agent.cli.target.resolve import TOKEN_VARIABLE, URL_VARIABLE

VARIABLES = {
    URL_VARIABLE: "Address of the agent, where `--url` and `--agent` are not given.",
    TOKEN_VARIABLE: "The agent's token, where no option gives one; with `serve`, the token that callers must send.",
    "SYNAPSE_BACKEND_TOKEN": "With `serve`, the backend's token, if no option, variable or file has it.",
    "SYNAPSE_AGENT_…": "With `serve`, what the option of that name says; its table has them all.",
    "SYNAPSE_USER_TOKEN": "Token of a user to act for.",
    "SYNAPSE_TENANT": "Tenant to act within.",
    "SYNAPSE_HTTP_LIBRARY": "`httpx`, the default, or `httpx2`: what the client speaks through.",
    "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY": "Proxies on the way to the agent, and hosts to reach without one.",
    "SSL_CERT_FILE, SSL_CERT_DIR": "Certificates of the authorities to trust, where the agent's is your own.",
    "XDG_CONFIG_HOME": "Where `use` keeps named agents, in `synapse-agent/agents.json`; `~/.config` by default.",
    "XDG_STATE_HOME": "Where `serve` keeps its data and its token, in `synapse-agent/`; `~/.local/state` by default.",
    "NO_COLOR": "No colours, whatever its value.",
    "SYNAPSE_AGENT_CHECK_ANSWERS": "With `serve`, `1` holds each answer to the contract, for tests (jsonschema-rs).",
    "TERM": "`dumb` for a terminal on which nothing moves.",
}
"""Their names, and what each says."""
