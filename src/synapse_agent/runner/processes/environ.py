"""Environment variables of runs: the agent's harmless ones, which include no secret, and those of plugins."""

from __future__ import annotations

from collections.abc import Mapping

from synapse_agent.problems import Problem
from synapse_agent.runner.synapse_worker.references import expanded, references

OF_EACH_RUN = frozenset({"HOME", "TMPDIR", "SYNAPSE_OUTPUT_DIR", "SYNAPSE_JOB_ID"})
"""Variables with a different value in each run."""
_NAMES = frozenset(
    [
        *("PATH", "LANG", "LANGUAGE", "TZ", "USER", "LOGNAME", "LD_LIBRARY_PATH"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    ]
)
_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "NCCL_", "HIP_", "ROCR_", "OMP_", "MKL_", "OPENBLAS_")
_FOR_INSTALLERS = ("UV_", "XDG_", "HOME", "TMPDIR", "NETRC")


def worker_env(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that an action may see."""
    return {name: value for name, value in environ.items() if name in _NAMES or name.startswith(_PREFIXES)}


def installer_env(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that uv and its build backends may see: the ones that configure it as well."""
    more = {name: value for name, value in environ.items() if name.startswith(_FOR_INSTALLERS)}
    return worker_env(environ) | more


def resolved(env: Mapping[str, str], known: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Replace the references in a plugin's variables; return the finished ones, and those that each run must finish.

    Raises `Problem` 422 `invalid_plugin` for a reference to anything else.
    """
    shared: dict[str, str] = {}
    of_runs: dict[str, str] = {}
    for name, value in env.items():
        names = references(value)
        missing = next((each for each in names if each not in known and each not in OF_EACH_RUN), None)
        if missing is not None:
            raise _missing(name, missing)
        if OF_EACH_RUN.intersection(names):
            of_runs[name] = value
        else:
            shared[name] = expanded(value, known)
    return shared, of_runs


def _missing(name: str, missing: str) -> Problem:
    return Problem(
        422,
        "invalid_plugin",
        f"env.{name} in config.yaml refers to ${{{missing}}}, which this agent does not provide. Start it with"
        f" --action-env {missing}=…, or remove the reference ($${{{missing}}} is the literal text).",
    )
