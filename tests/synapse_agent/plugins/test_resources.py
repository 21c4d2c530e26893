"""The resources that an action requests, in its config and in a call's params."""

from __future__ import annotations

import pytest

from synapse_agent.plugins.config import PluginConfig
from synapse_agent.plugins.resources import Resources
from synapse_agent.problems import Problem


def action(**entry):
    """Read an action whose entry has these keys."""
    entry = {"entrypoint": "main:go", **entry}
    return PluginConfig.from_mapping({"code": "asking", "actions": {"go": entry}}).action("go")


def test_an_action_that_asks_for_nothing_has_a_cpu() -> None:
    """Ray's tasks have the same default; the action is not retried if its node is lost."""
    assert action().resources == Resources(num_cpus=1, num_gpus=0, memory=0)
    assert action().retryable is False


def test_a_config_has_the_resources_of_an_action() -> None:
    """YAML, in which every scalar is read as text, and JSON have the same result."""
    texts = action(resources={"num_cpus": "2", "num_gpus": "0.5", "memory": "2GiB"}, retryable="true")
    assert texts.resources == Resources(num_cpus=2, num_gpus=0.5, memory=2 * 2**30)
    assert texts.retryable is True
    assert action(resources={"num_cpus": 0, "memory": 1000}).resources == Resources(0, 0, 1000)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"resources": {"num_cpus": "many"}}, "`num_cpus` is 'many', not a number from 0 on"),
        ({"resources": {"num_gpus": -1}}, "`num_gpus` is -1, not a number from 0 on"),
        ({"resources": {"num_gpus": True}}, "`num_gpus` is True, not a number from 0 on"),
        ({"resources": {"num_cpus": "inf"}}, "`num_cpus` is 'inf', not a number from 0 on"),
        ({"resources": {"num_cpus": 10**400}}, "not a number from 0 on"),
        ({"resources": {"memory": "9" * 400}}, "is too large"),
        ({"resources": {"memory": "2 cows"}}, "`memory` is not a size: '2 cows' is not a size"),
        ({"resources": {"gpus": 1}}, "`gpus` is not one of num_cpus, num_gpus and memory"),
        ({"resources": "2"}, "`actions.go.resources` must be a mapping"),
        ({"retryable": "perhaps"}, "`actions.go.retryable` must be true or false, not 'perhaps'"),
    ],
)
def test_a_config_that_asks_for_nonsense_is_refused(entry, message) -> None:
    """Creating the release is 422 with the key."""
    with pytest.raises(Problem) as caught:
        action(**entry)
    assert (caught.value.status, caught.value.error_type) == (422, "invalid_plugin")
    assert message in caught.value.message


def test_a_calls_params_count_for_more() -> None:
    """They override only the names that they have."""
    asked = Resources(num_cpus=4, memory=100)
    assert asked.with_params({"num_gpus": 1, "num_cpus": 0.5}) == Resources(0.5, 1, 100)
    assert asked.with_params({"memory": "1KiB"}) == Resources(4, 0, 1024)
    assert asked.with_params({"memory": 2048.0, "epochs": 3}) == Resources(4, 0, 2048)


@pytest.mark.parametrize("value", ["auto", True, None, -1, float("nan"), float("inf"), 10**400, [1], "1"])
def test_a_param_that_is_no_amount_is_the_actions_own(value) -> None:
    """Public plugins have hyperparameters such as `num_gpus: "auto"`."""
    params = {"num_gpus": value, "num_cpus": value, "memory": value if value != "1" else "some"}
    assert Resources().with_params(params) == Resources()


def test_more_than_one_gpu_is_whole_ones() -> None:
    """Ray can share one GPU, but can't assign 1.5."""
    assert Resources().with_params({"num_gpus": 1.5}).num_gpus == 2
    assert action(resources={"num_gpus": "2.1"}).resources.num_gpus == 3


def test_resources_are_formatted_for_people() -> None:
    """Names may be singular or plural, and resources that are not requested are zero."""
    assert str(Resources(1, 2, 2**30)) == "1 CPU, 2 GPUs, 1024 MiB of memory"
    assert str(Resources(0.5, 1)) == "0.5 CPUs, 1 GPU"
    assert str(Resources(0)) == "nothing"
