"""`demo`: run the documented calls on a temporary agent and show each result, from any folder.

The calls that it prints are the ones that it runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from textwrap import dedent, indent
from time import perf_counter
from typing import Annotated, Any, TextIO

import typer

from synapse_agent.cli.commands.serve_options import setting_option
from synapse_agent.cli.exit_codes import ExitCode


@dataclass(frozen=True, kw_only=True)
class Step:
    """A call as a user writes it, and the check of its result."""

    title: str
    call: str
    expected: str
    holds: Callable[[Any], bool]

    @property
    def source(self) -> str:
        """The call, as it is shown and run."""
        return dedent(self.call).strip()

    def is_met(self, result: Any) -> bool:
        """Check a result, which may have any shape."""
        try:
            return self.holds(result)
        except (LookupError, TypeError):
            return False


def is_release(code: str, version: str) -> Callable[[Any], bool]:
    """Return a check for the given release."""
    return lambda release: (release["plugin"], release["version"]) == (code, version)


def is_fit(result: Any) -> bool:
    """Check that training found the line through the calibration data and that each epoch improved."""
    losses = result["losses"]
    falling = len(losses) == 10 and all(after < before for before, after in pairwise(losses))
    return falling and abs(result["slope"] - 2) < 0.1 and abs(result["intercept"] - 0.5) < 0.1


def is_document(result: Any) -> bool:
    """Check that the document was read: two pages, with an image on each."""
    return len(result["pages"]) == len(result["images"]) == 2 and "calibration" in result["pages"][0]


TRAINED = "ten falling losses, and a line with a slope near 2 and an intercept near 0.5"

STEPS = (
    Step(
        title="Fetch a release and cache it",
        call='client.create_plugin_release(plugin="my_plugin", version="1.0.0")',
        expected="the release my_plugin@1.0.0",
        holds=is_release("my_plugin", "1.0.0"),
    ),
    Step(
        title="Fetch another",
        call='client.create_plugin_release("ocr_plugin", "2.0.0")',
        expected="the release ocr_plugin@2.0.0",
        holds=is_release("ocr_plugin", "2.0.0"),
    ),
    Step(
        title="List the cached releases",
        call="client.list_plugin_releases(list_all=True)",
        expected="both releases, and their number",
        holds=lambda it: it[1] == len(it[0]) == 2,
    ),
    Step(
        title="Look up a release",
        call='client.get_plugin_release("ocr_plugin@2.0.0")',
        expected="the release ocr_plugin@2.0.0",
        holds=is_release("ocr_plugin", "2.0.0"),
    ),
    Step(
        title="Read a PDF (pypdf and Pillow are installed into its own environment)",
        call="""
            client.run_plugin_release(
                lookup="ocr_plugin@2.0.0",
                action="process_document",
                params={"file_path": DOCUMENT},
                requirements=["pillow>=9.0.0"],
                job_id="job_abc123",
            )
        """,
        expected="the text of two pages, and the size of two images",
        holds=is_document,
    ),
    Step(
        title="Train a model",
        call='client.run_plugin_release("my_plugin@1.0.0", "train", params={"epochs": 10})',
        expected=TRAINED,
        holds=is_fit,
    ),
    Step(
        title="Train it the legacy way",
        call="""
            client.run_plugin_release("my_plugin@1.0.0", data={
                "action": "train",
                "params": {"epochs": 10},
            })
        """,
        expected=TRAINED,
        holds=is_fit,
    ),
    Step(
        title="Run an action",
        call="""
            client.run_plugin_release(
                "my_plugin@1.0.0", "process",
                params={"input": "to be or not to be"},
            )
        """,
        expected="6 words, 'to' and 'be' twice each",
        holds=lambda it: it == {"words": 6, "most_frequent": {"to": 2, "be": 2, "or": 1}},
    ),
    Step(
        title="Run it from source, with one module replaced",
        call=r"""
            client.run_debug_plugin_release(
                action="process",
                params={"input": "to be or not to be"},
                plugin_path=SOURCE,
                modules={
                    "my_plugin.processor": (
                        "class Processor:\n"
                        "    def process(self, text):\n"
                        "        return text.upper()\n"
                    ),
                },
            )
        """,
        expected="'TO BE OR NOT TO BE'",
        holds=lambda it: it == "TO BE OR NOT TO BE",
    ),
    Step(
        title="Delete a release",
        call='client.delete_plugin_release("my_plugin@1.0.0")',
        expected="nothing",
        holds=lambda it: it is None,
    ),
    Step(
        title="Check that it is gone",
        call='client.list_plugin_releases({"plugin": "my_plugin"})',
        expected="an empty page",
        holds=lambda page: page["count"] == 0 and page["results"] == [],
    ),
)


class StepFailed(Exception):
    """A step did not return what was expected."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The output of the demo, and the values that its steps use."""

    out: TextIO
    is_coloured: bool = False
    names: dict[str, Any] = field(default_factory=dict)
    """The variables of the calls."""

    def write(self, text: str) -> None:
        """Print a line."""
        self.out.write(f"{text}\n")
        self.out.flush()

    def bold(self, text: str) -> str:
        """Return text in bold if the output is a terminal."""
        return f"\x1b[1m{text}\x1b[0m" if self.is_coloured else text

    def dim(self, text: str) -> str:
        """Return text dimmed if the output is a terminal."""
        return f"\x1b[2m{text}\x1b[0m" if self.is_coloured else text


def demo(
    plugins: Annotated[
        Path | None,
        typer.Option(
            "--plugins",
            metavar="DIR",
            help="Folder of plugins. Default: the examples in the package.",
        ),
    ] = None,
    runner: Annotated[str | None, setting_option("runner")] = None,
    ray_address: Annotated[str | None, setting_option("ray_address")] = None,
) -> None:
    """Fetch, run, debug and delete example plugins on a temporary agent.

    Needs the extra `agent` besides `cli`, and a package index for the requirements of one example.
    """
    is_coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    settings = {"runner": runner, "ray_address": ray_address}
    given = {name: value for name, value in settings.items() if value is not None}
    try:
        show_demo(sys.stdout, is_coloured=is_coloured, plugins=plugins, **given)
    except StepFailed as failed:
        sys.stderr.write(f"{failed}\n")
        raise typer.Exit(ExitCode.FAILED) from failed
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def show_demo(out: TextIO, *, is_coloured: bool = False, plugins: Path | None = None, **settings: str) -> None:
    """Start an agent with the example plugins, or others, run every step on it, and stop it.

    `settings` are the agent's. Raises `StepFailed` at the first step with an unexpected result.
    """
    from synapse_agent import EmbeddedAgent
    from synapse_agent.cli.commands.example_files import example_files

    with ExitStack() as stack:
        examples = stack.enter_context(example_files())
        agent = stack.enter_context(EmbeddedAgent(plugins or examples / "plugins", **settings))
        client = stack.enter_context(agent.client())
        names = {
            "client": client,
            "DOCUMENT": str(examples / "data" / "document.pdf"),
            "SOURCE": str(examples / "plugins" / "my_plugin"),
        }
        stage = Stage(out, is_coloured, names)
        stage.write(f"An embedded agent answers at {agent.base_url}\n")
        for number, step in enumerate(STEPS, start=1):
            stage.write(stage.bold(f"{number}. {step.title}"))
            show(step, stage)
        stage.write(stage.bold(f"All {len(STEPS)} steps passed."))


def show(step: Step, stage: Stage) -> None:
    """Print a call, make it, and print its result and duration."""
    stage.write(indent(prompted(step.source), "   "))
    started = perf_counter()
    result = perform(step, stage)
    seconds = perf_counter() - started
    stage.write(indent(pretty(result), "   "))
    stage.write(stage.dim(f"   ok, {seconds:.3f} s\n"))


def perform(step: Step, stage: Stage) -> Any:
    """Make a step's call, check the result and return it."""
    try:
        result = eval(step.source, dict(stage.names))
    except Exception as error:  # any error of the call fails the step
        raise StepFailed(mismatch(step, f"{type(error).__name__}: {error}")) from error
    if not step.is_met(result):
        raise StepFailed(mismatch(step, pretty(result)))
    return result


def mismatch(step: Step, brought: str) -> str:
    """Return the message for a failed step."""
    return f"FAILED: {step.title}\nexpected: {step.expected}\ngot: {brought}"


def prompted(source: str) -> str:
    """Return source as the Python prompt shows it."""
    return ">>> " + source.replace("\n", "\n... ")


def pretty(value: Any) -> str:
    """Return a value as Python shows it, on as many lines as needed."""
    from pprint import pformat

    return pformat(value, width=100, compact=True, sort_dicts=False)
