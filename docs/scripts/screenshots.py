"""Write `docs/images/*.svg`: what a terminal shows, of commands that are really run; with `--check`, compare.

A shell on a pseudo-terminal is typed into, and what an emulator has on its screen afterwards is drawn. Agent, plugins
and folders are the script's own. Numbers, IDs and what is the machine's own differ from run to run: a comparison leaves
them out.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rich.console import Console
from rich.style import Style
from rich.text import Text
from terminal import Terminal

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
PROMPT = "$ "
COLUMNS = 92
FONT = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"
VOLATILE = (
    (r"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f-]{27}", "ID"),
    (r"\d+(\.\d+)?", "0"),
    (r"[\u2800-\u28ff]", "*"),  # what spins
    (r"[━╺╸]+", "━"),
    (r"\s+", " "),
)
MACHINE = re.compile(r"^.(clock|environmentcache|disk|kernel|Landlock|Ray|servinghere).*$", re.M)
FULL_BAR = re.compile(r"\n\S patient train [━╺╸]+ +[3-9]\d% \d:\d\d:\d\d$")
"""The line that moves, drawn to its end, with the lines of the log above it."""
PATIENT = {
    "config.yaml": "code: patient\nactions: {train: {entrypoint: 'main:train', method: task}}\n",
    "main.py": """
import time

def train(context, epochs=20):
    for epoch in range(1, epochs + 1):
        time.sleep(0.2)
        print(f"epoch {epoch}/{epochs}: loss {1 / (1 + epoch):.4f}", flush=True)
        context.set_progress(epoch, epochs)
""",
}
"""A slow plugin."""
EPOCHS = re.compile(r"^epoch.*$", re.M)


@dataclass(frozen=True)
class Scene:
    """A picture: the typed text, the text to wait for before it is taken, and its height."""

    name: str
    title: str
    act: Callable[[Terminal], None]
    lines: int
    own: re.Pattern[str] | None = None
    """What is not the same on another machine, or in another moment."""


def type_in(*commands: str) -> Callable[[Terminal], None]:
    """Return an act that types commands, each when the one before it has ended."""

    def act(terminal: Terminal) -> None:
        for command in commands:
            wait_for_prompt(terminal)
            terminal.press(f"{command}\n")
            terminal.until(lambda screen: not is_prompting(screen))
        wait_for_prompt(terminal)

    return act


def run_for_a_while(terminal: Terminal) -> None:
    """Start something long, and wait until it is well on its way."""
    wait_for_prompt(terminal)
    terminal.press("synapse-agent debug patient train\n")
    terminal.until(lambda screen: FULL_BAR.search(screen) is not None)


def wait_for_prompt(terminal: Terminal) -> None:
    """Wait until the shell accepts the next command."""
    terminal.until(is_prompting)


def is_prompting(screen: str) -> bool:
    """Check whether the screen ends with a prompt."""
    return screen == PROMPT.strip() or screen.endswith(f"\n{PROMPT.strip()}")


SCENES = (
    Scene(
        "run",
        "Cache a release and run an action",
        type_in(
            "synapse-agent create my_plugin@1.0.0",
            "synapse-agent run my_plugin@1.0.0 train -p epochs=4",
            "synapse-agent run my_plugin@1.0.0 process -p input='to be or not to be' | cat",
        ),
        lines=36,
    ),
    Scene("progress", "While an action runs", run_for_a_while, lines=12, own=EPOCHS),
    Scene(
        "errors",
        "When something goes wrong",
        type_in(
            "synapse-agent run my_plugin@1.0.0 train -p epochs=0 --job-id trial",
            'synapse-agent get ocr_plugin@2.0.0; echo "exit code $?"',
            "synapse-agent list --url http://127.0.0.1:9",
        ),
        lines=16,
    ),
    Scene(
        "doctor",
        "What is wrong, and how to fix it",
        type_in("synapse-agent doctor --token stale"),
        lines=22,
        own=MACHINE,
    ),
)


def main() -> int:
    """Take the pictures, or compare them, and return the exit code."""
    is_check = "--check" in sys.argv[1:]
    stale = []
    for scene, svg in pictures():
        path = IMAGES / f"{scene.name}.svg"
        if not is_check:
            path.write_text(svg, encoding="utf-8")
        elif not path.is_file() or essence(path.read_text(encoding="utf-8"), scene) != essence(svg, scene):
            stale.append(path)
    for path in stale:
        print(f"{path} is not what the terminal shows: run `make screenshots` and commit it.", file=sys.stderr)
    return 1 if stale else 0


def pictures() -> Iterator[tuple[Scene, str]]:
    """Yield each scene with its picture."""
    with tempfile.TemporaryDirectory() as home, served(Path(home)) as env:
        for scene in SCENES:
            yield scene, picture(scene, env)


def picture(scene: Scene, env: dict[str, str]) -> str:
    """Play a scene on a terminal and draw its screen."""
    shell = ["bash", "--norc", "--noprofile"]
    with Terminal(shell, env=env, columns=COLUMNS, lines=scene.lines, cwd=env["HOME"]) as terminal:
        scene.act(terminal)
        drawn = draw(terminal, scene)
        terminal.press("\x03")
        wait_for_prompt(terminal)
    return drawn


@contextmanager
def served(home: Path) -> Iterator[dict[str, str]]:
    """Serve the example plugins for the shells that get this environment."""
    env = {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PS1": PROMPT,
        "TERM": "xterm-256color",
        "TZ": "UTC",
        "LANG": "C.UTF-8",
        "BASH_SILENCE_DEPRECATION_WARNING": "1",
    }
    (home / "patient").mkdir()
    for name, text in PATIENT.items():
        (home / "patient" / name).write_text(text)
    command = ["synapse-agent", "serve", "--plugins", str(ROOT / "examples" / "plugins"), "--port", "0"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"ready ")
        yield env
    finally:
        process.terminate()
        process.communicate(timeout=60)


def draw(terminal: Terminal, scene: Scene) -> str:
    """Return the screen as SVG, without the prompt at its end."""
    lines = [line_of(terminal, number) for number in range(scene.lines)]
    while lines and lines[-1].plain.strip() in ("", PROMPT.strip()):
        lines.pop()
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    for line in lines:
        console.print(line, soft_wrap=True)
    svg = console.export_svg(title=scene.title, unique_id=scene.name)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)  # which would be fetched from elsewhere
    return re.sub(r"font-family: ?(Fira Code, monospace|arial)", f"font-family: {FONT}", svg)


def line_of(terminal: Terminal, number: int) -> Text:
    """Return a line of the screen with its colors."""
    row: Any = terminal.screen.buffer[number]
    text = Text(end="")
    # Word by word: viewers differ in their handling of blanks at the start of a text.
    for (style, _), chars in groupby((row[column] for column in range(COLUMNS)), key=look):
        text.append("".join(char.data for char in chars), style)
    text.rstrip()
    return text


def look(char: Any) -> tuple[Style, bool]:
    """Return how the emulator shows a character, and whether that is a blank."""
    return Style(color=color(char.fg), bold=char.bold, italic=char.italics), char.data == " "


def color(name: str) -> str | None:
    """Return an emulator's color by Rich's name."""
    if name == "default":
        return None
    named = {"brown": "yellow", "brightbrown": "bright_yellow"}
    if re.fullmatch(r"[0-9a-f]{6}", name):
        return f"#{name}"
    return named.get(name, name.replace("bright", "bright_"))


def essence(svg: str, scene: Scene) -> str:
    """Return the text of a picture, without blanks and varying parts."""
    rows: dict[str, list[str]] = {}
    for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        rows.setdefault(element.get("y", "title"), []).append(element.text or "")
    text = "\n".join("".join(parts) for parts in rows.values())
    if scene.own is not None:
        text = scene.own.sub("", text)
    for pattern, same in VOLATILE:
        text = re.sub(pattern, same, text)
    return text


if __name__ == "__main__":
    sys.exit(main())
