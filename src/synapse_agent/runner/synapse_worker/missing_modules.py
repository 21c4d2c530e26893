"""Which package to install for a missing module; most packages are named like their module."""

from __future__ import annotations

import os
import sys

_PACKAGES = {
    "Crypto": "pycryptodome",
    "Levenshtein": "levenshtein",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "discord": "discord.py",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "ffmpeg": "ffmpeg-python",
    "fitz": "pymupdf",
    "git": "gitpython",
    "grpc": "grpcio",
    "hydra": "hydra-core",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "kafka": "kafka-python",
    "magic": "python-magic",
    "mpl_toolkits": "matplotlib",
    "multipart": "python-multipart",
    "nacl": "pynacl",
    "osgeo": "gdal",
    "pkg_resources": "setuptools",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "ruamel": "ruamel.yaml",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "slugify": "python-slugify",
    "socks": "pysocks",
    "umap": "umap-learn",
    "usb": "pyusb",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}
_NAMESPACES = {"google.cloud": 3, "google": 2, "azure": 3, "opentelemetry": 2}
"""Modules shared by several packages: how many parts of a module's name identify the package."""


def cure(error: ModuleNotFoundError, folder: str) -> str:
    """Return advice about a missing module; "" if it is the plugin's own, or of the standard library."""
    name = error.name or ""
    top = name.partition(".")[0]
    is_own = any(os.path.exists(os.path.join(folder, top + ending)) for ending in ("", ".py"))
    if not top or is_own or top in getattr(sys, "stdlib_module_names", sys.builtin_module_names):
        return ""
    package = _package(name, top)
    return f"Add {package} to requirements.txt, or pass requirements=['{package}']."


def _package(name: str, top: str) -> str:
    parts = name.split(".")
    for shared, count in _NAMESPACES.items():
        if len(parts) >= count and f"{name}.".startswith(f"{shared}."):
            return "protobuf" if parts[:2] == ["google", "protobuf"] else "-".join(parts[:count]).replace("_", "-")
    return _PACKAGES.get(top, top.replace("_", "-"))
