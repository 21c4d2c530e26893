"""Which of the agent's environment variables others get: a short list, so that no secret is among them."""

from __future__ import annotations

from collections.abc import Mapping

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
    """Choose what an action may see."""
    return {name: value for name, value in environ.items() if name in _NAMES or name.startswith(_PREFIXES)}


def installer_env(environ: Mapping[str, str]) -> dict[str, str]:
    """Choose what uv, and the build backends that it runs, may see: what configures it as well."""
    more = {name: value for name, value in environ.items() if name.startswith(_FOR_INSTALLERS)}
    return worker_env(environ) | more
