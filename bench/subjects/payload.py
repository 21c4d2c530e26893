"""The data that all clients send."""

from __future__ import annotations

from typing import Any

TOKEN = "bench-token"
RELEASE = "/plugin_releases/my_plugin%401.0.0"
RUN = "/plugin_releases/my_plugin%401.0.0/run/"
RUN_BIG = "/plugin_releases/big%401/run/"
ADDER = '{"plugin": "adder", "version": "1.0.0"}'
ADDER_RELEASE = "/plugin_releases/adder%401.0.0"
ADD = '{"action": "add", "params": {"a": 1, "b": 2}}'
SMALL, LARGE = ("six",), ("numpy", "pillow")
"""Requirements of one file, and of many."""
HUNDRED_PAGES = {"of": "10000", "page_size": "100", "latency": "10"}
HUNDRED_THOUSAND = {"of": "100000", "page_size": "1000"}


def records() -> list[dict[str, Any]]:
    """Return ten megabytes of JSON: boxes on images, with some labels that are not ASCII."""
    return [
        {
            "image": f"s3://bucket/dataset/images/{index:08}.jpg",
            "label": ("pedestrian", "voiture électrique", "traffic light")[index % 3],
            "box": [index * 0.25, index * 0.5, 127.75, 63.125],
            "score": 1 / (index + 1),
            "flags": {"occluded": index % 2 == 0, "truncated": None},
        }
        for index in range(52_000)
    ]
