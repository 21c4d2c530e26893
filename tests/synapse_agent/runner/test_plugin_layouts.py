"""Common layouts of plugins, and errors about missing modules."""

from __future__ import annotations

import pytest

from synapse_agent.plugins.config import PluginConfig

pytestmark = pytest.mark.anyio


def write(plugin, **files):
    for name, text in files.items():
        path = plugin.folder / name.replace("__in__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


async def test_modules_below_src_are_found(runner, write_plugin):
    """These modules can import each other, and modules in the plugin's folder."""
    plugin = write_plugin("VALUE = 1", entrypoint="mypkg.main:act")
    files = {"src__in__mypkg__in____init__.py": "", "src__in__mypkg__in__main.py": "from mypkg.more import act"}
    write(plugin, **files)
    write(plugin, **{"src__in__mypkg__in__more.py": "from plugin.main import VALUE\ndef act():\n    return VALUE\n"})
    assert await plugin.run(runner) == 1


async def test_a_plugin_can_be_a_package_itself(runner, write_plugin):
    """The name of its folder on the agent does not matter; relative and absolute imports both work."""
    plugin = write_plugin("", entrypoint="mypkg.main:act")
    write(
        plugin,
        **{
            "__init__.py": "ONE = 1",
            "main.py": "from . import ONE\nfrom .more import TWO\nfrom mypkg.more import TWO as two\n"
            "def act():\n    return [ONE, TWO, two]\n",
            "more.py": "TWO = 2",
        },
    )
    assert await plugin.run(runner) == [1, 2, 2]
    plugin.config = PluginConfig.from_mapping({"code": "tried", "actions": {"act": "mypkg.nothing:act"}})
    problem = await plugin.problem(runner)
    assert (problem.error_type, problem.status) == ("entrypoint_not_found", 422)


@pytest.mark.parametrize(
    ("statement", "package"),
    [
        ("import cv2", "opencv-python-headless"),
        ("from PIL import Image", "pillow"),
        ("import sklearn.linear_model", "scikit-learn"),
        ("import yaml", "pyyaml"),
        ("import some_package", "some-package"),
        ("from google.cloud import storage_x", None),
    ],
)
async def test_a_missing_module_is_an_error_with_its_package(runner, write_plugin, statement, package):
    """The error names the package, for actions and their modules; the plugin's own modules have no such hint."""
    inside = write_plugin(f"def act():\n    {statement}\n")
    at_import = write_plugin(f"{statement}\ndef act():\n    pass\n")
    for plugin in (inside, at_import):
        problem = await plugin.problem(runner)
        assert problem.extra["exception_type"] == "ModuleNotFoundError"
        if package:
            cure = f"Add {package} to requirements.txt, or pass requirements=['{package}']."
            assert problem.message.endswith(cure)


@pytest.mark.parametrize("statement", ["import plugin.missing", "import distutils.missing"])
async def test_a_missing_module_of_the_plugins_or_pythons_own_has_no_package(runner, write_plugin, statement):
    """Installing something would not help."""
    problem = await write_plugin(f"def act():\n    {statement}\n").problem(runner)
    assert "requirements" not in problem.message


async def test_an_action_has_the_timeout_of_its_config(runner, write_plugin):
    """`timeout` is in seconds; the agent's own limit applies, too."""
    actions = {"act": {"entrypoint": "plugin.main:act", "timeout": 0.3}}
    plugin = write_plugin("import time\ndef act(seconds):\n    time.sleep(seconds)\n", actions=actions)
    plugin.config = PluginConfig.from_mapping({"code": "tried", "actions": actions})
    assert await plugin.run(runner, {"seconds": 0}) is None
    problem = await plugin.problem(runner, {"seconds": 30})
    assert (problem.status, problem.error_type) == (500, "action_timeout")
    assert "0.3" in problem.message
    plugin.config = PluginConfig.from_mapping({"code": "tried", "actions": {"act": {**actions["act"], "timeout": 30}}})
    assert (await plugin.problem(runner, {"seconds": 30}, time_limit=0.2)).error_type == "action_timeout"
