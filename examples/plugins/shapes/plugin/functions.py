"""Actions that are functions."""

from __future__ import annotations

import asyncio
from collections import Counter


def greet(name, greeting="Hello"):
    return f"{greeting}, {name}"


def echo(**kwargs):
    return kwargs


def longest(params):
    return max(params["words"], key=len)


def count(params, context):
    words = Counter()
    for number, line in enumerate(params["lines"], start=1):
        words.update(line.split())
        context.set_progress(number, len(params["lines"]))
    context.log("counted", {"different": len(words)})
    context.logger.info("%s, job %s", context.env["GREETING"], context.job_id)
    return words


async def together(seconds):
    await asyncio.gather(*(asyncio.sleep(wait) for wait in seconds))
    return len(seconds)
