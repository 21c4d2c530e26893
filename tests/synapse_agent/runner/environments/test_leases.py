"""Environments in use are not removed, and marking them as used is cheap."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from synapse_agent.runner.environments.leases import EnvironmentLeases
from synapse_agent.runner.environments.store import stored_environments

FIRST = "1" * 32


class Clock:
    """A stopped clock."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lost():
    """List the environments reported as lost."""
    return []


@pytest.fixture
def clock():
    """Return the clock of the leases."""
    return Clock()


@pytest.fixture
def leases(lost, clock):
    """Yield leases, and close them afterwards."""
    leases = EnvironmentLeases(on_lost=lost.append, clock=clock)
    yield leases
    leases.close()


def is_in_use(environment):
    """Return whether other processes see the environment as used."""
    (found,) = stored_environments(environment.parent)
    return found.in_use


def descriptors():
    """Count this process's open files."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_an_environment_is_in_use_from_the_first_user_to_the_last(leases, write_environment):
    """Every process sees that."""
    environment = write_environment(FIRST)
    first, second = leases.take(environment), leases.take(environment)
    assert first is second
    leases.release(first)
    assert is_in_use(environment)
    leases.release(second)
    assert not is_in_use(environment)
    again = leases.take(environment)
    assert is_in_use(environment)
    leases.release(again)


def test_what_is_not_there_cannot_be_taken(leases, lost, write_environment):
    """An environment without its Python is refused, too."""
    environment = write_environment(FIRST)
    assert leases.take(environment.with_name("2" * 32)) is None
    (environment / "bin" / "python").unlink()
    assert leases.take(environment) is None
    (environment / "bin" / "python").symlink_to("/no/such/python")
    assert leases.take(environment) is None
    assert lost == [environment.with_name("2" * 32), environment, environment]


def test_one_that_was_removed_meanwhile_is_lost(leases, lost, write_environment):
    """If another one was created in its place, the next lease takes that."""
    environment = write_environment(FIRST)
    leases.release(leases.take(environment))
    shutil.rmtree(environment)
    assert leases.take(environment) is None
    assert lost == [environment]
    leases.release(leases.take(write_environment(FIRST)))
    shutil.rmtree(environment)
    write_environment(FIRST)
    assert leases.take(environment) is None
    lease = leases.take(environment)
    assert is_in_use(environment)
    leases.release(lease)


def test_another_python_in_its_place_is_noticed(leases, lost, tmp_path, write_environment):
    """Users of the old one finish normally; the next use is of the new one."""
    python = tmp_path / "python"
    python.write_bytes(b"an old Python")
    environment = write_environment(FIRST, interpreter=python)
    old = leases.take(environment)
    os.utime(python, (1, 1))
    assert leases.take(environment) is None
    assert lost == [environment]
    new = leases.take(environment)
    assert new is not old
    leases.release(new)
    assert is_in_use(environment)
    leases.release(old)
    assert not is_in_use(environment)


def test_the_last_use_is_written_down_at_most_once_a_minute(leases, clock, write_environment):
    """The time is written when a use begins and when it ends."""
    environment = write_environment(FIRST)
    stamp = environment / "last-use"

    def noted():
        was_noted = stamp.stat().st_mtime > 1000
        os.utime(stamp, (1000, 1000))
        return was_noted

    lease = leases.take(environment)
    assert noted()
    leases.release(lease)
    leases.release(leases.take(environment))
    assert not noted()
    clock.now += 60
    lease = leases.take(environment)
    assert noted()
    clock.now += 3600
    leases.release(lease)
    assert noted()


def test_a_use_that_cannot_be_written_down_is_still_one(leases, write_environment):
    """The disk may be full."""
    environment = write_environment(FIRST)
    (environment / "last-use").unlink()
    (environment / "last-use").symlink_to("/proc/no/such/file")
    lease = leases.take(environment)
    assert is_in_use(environment)
    leases.release(lease)
    assert not is_in_use(environment)


def test_a_use_by_another_process_ends_with_it(leases, write_environment):
    """It does not matter how the process ends."""
    environment = write_environment(FIRST)
    program = """if True:
        import sys, time
        from pathlib import Path
        from synapse_agent.runner.environments.leases import EnvironmentLeases
        lease = EnvironmentLeases(on_lost=print).take(Path(sys.argv[1]))
        print("taken", flush=True)
        time.sleep(60)
        """
    with subprocess.Popen([sys.executable, "-c", program, environment], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "taken\n"
        assert is_in_use(environment)
        leases.release(leases.take(environment))
        assert is_in_use(environment)
        other.kill()
    assert not is_in_use(environment)


def test_what_others_removed_is_released(leases, lost, write_environment):
    """The leases of existing ones are kept."""
    environments = [write_environment(str(number) * 32) for number in range(2)]
    for environment in environments:
        leases.release(leases.take(environment))
    shutil.rmtree(environments[0])
    leases.check()
    assert lost == [environments[0]]


def test_few_folders_stay_open(leases, write_environment):
    """Their number has a limit, however many environments exist; after `close`, no folder is open."""
    before = descriptors()
    for number in range(70):
        leases.release(leases.take(write_environment(f"{number:032x}")))
    assert descriptors() - before == 64 * 2  # for each, the folder and its lock
    held = leases.take(write_environment("f" * 32))
    leases.close()
    assert descriptors() - before == 2
    leases.release(held)
    assert descriptors() == before
