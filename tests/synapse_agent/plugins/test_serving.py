"""The settings of served actions."""

from __future__ import annotations

import pytest

from synapse_agent.plugins.config import PluginConfig
from synapse_agent.plugins.serving import ServeOptions
from synapse_agent.problems import Problem


def options_of(serve: object) -> ServeOptions:
    """Read a served action's settings."""
    action = {"entrypoint": "a:b", "method": "serve", "serve": serve}
    return PluginConfig.from_mapping({"code": "a", "actions": {"act": action}}).action("act").serve


def test_the_defaults_are_one_worker_with_one_call_and_a_quarter_of_an_hour_idle() -> None:
    """This holds without settings, and for empty settings."""
    expected = ServeOptions(1, 1, 1, 900.0, None, 300.0)
    assert options_of(None) == options_of({}) == options_of({"workers": None}) == expected


def test_settings_are_read_as_yaml_has_them_and_as_json_has_them() -> None:
    """They may be texts or numbers; `max_workers` is at least `workers`."""
    written = {"workers": "2", "concurrency": "8", "idle": "0.5", "max_calls": "100", "startup_timeout": "60"}
    assert options_of(written) == ServeOptions(2, 2, 8, 0.5, 100, 60.0)
    assert options_of({"workers": 2, "max_workers": 3}) == ServeOptions(2, 3)


@pytest.mark.parametrize(
    ("serve", "words"),
    [
        ({"workers": 0}, "`workers` is 0, not a whole number from 1 on"),
        ({"workers": "two"}, "`workers` is 'two'"),
        ({"workers": True}, "`workers` is True"),
        ({"concurrency": 1.5}, "`concurrency` is 1.5"),
        ({"idle": "-1"}, "`idle` is '-1', not a number of seconds above 0"),
        ({"idle": "inf"}, "`idle` is 'inf'"),
        ({"startup_timeout": [1]}, "`startup_timeout` is [1]"),
        ({"workers": 3, "max_workers": 2}, "`max_workers` is 2, less than `workers`, which is 3"),
        ({"worker": 1}, "`worker` is not a setting. Known: workers, max_workers"),
        ([1], "`actions.act.serve` must be a mapping, not a list"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(serve: object, words: str) -> None:
    """Reading the plugin raises 422 `invalid_plugin`."""
    with pytest.raises(Problem) as caught:
        options_of(serve)
    assert (caught.value.status, caught.value.error_type) == (422, "invalid_plugin")
    assert words in caught.value.message
    assert "actions.act.serve" in caught.value.message
