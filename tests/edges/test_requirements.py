"""Requirements that are not available: the installer's own output, and the attempt leaves nothing behind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from synapse_sdk.exceptions import RequirementsError, ValidationError

WANTED = (
    "use a package's name with extras, versions and markers, such as 'pillow>=9.0.0', without options, paths and URLs"
)


@pytest.fixture(scope="module")
def plain(edges_agent, plugins, write_files, settle) -> Iterator[str]:
    """A cached release whose one action reports which packages are installed."""
    files = {
        "config.yaml": "code: plain\nversion: 1.0.0\nactions: {look: {entrypoint: 'main:look', method: local}}\n",
        "main.py": """
            from importlib.util import find_spec

            def look(names):
                return [name for name in names if find_spec(name)]
            """,
    }
    write_files(plugins / "plain", files)
    with edges_agent.client() as client:
        client.create_plugin_release("plain", "1.0.0")
        client.run_plugin_release("plain@1.0.0", "look", params={"names": []})  # makes the empty environment
        yield "plain@1.0.0"
        client.delete_plugin_release("plain@1.0.0")
    settle()


@pytest.fixture
def fail(facade, ledger, plain):
    """Run with requirements that cannot be installed; return the error. The job's log has the installer's output."""

    def fail(*requirements):
        ledger.expect(jobs=1, job_folders=1)
        return facade.error("run_plugin_release", plain, "look", {"names": []}, requirements=list(requirements))

    return fail


def test_a_package_that_does_not_exist_brings_the_installers_own_words(fail):
    """The message quotes them, and `installer_output` has all of them; nothing ran."""
    error = fail("package-that-nobody-made")
    assert type(error) is RequirementsError
    assert (error.status_code, error.error_type, error.outcome) == (422, "requirements_failed", "rejected")
    assert error.message.startswith("The requirements could not be installed (Python 3.")
    assert "Installer output: " in error.message
    assert "Because package-that-nobody-made was not found" in " ".join(error.installer_output.split())
    assert "Because package-that-nobody-made was not found" in error.message


def test_versions_that_conflict_are_both_named(fail, packages, write_wheel):
    """This holds if one of them comes from another package's requirements."""
    write_wheel(packages, "paint", "1.0")
    write_wheel(packages, "paint", "2.0")
    write_wheel(packages, "brush", "1.0", requires="paint<2")
    assert "you require paint<2 and paint>=2" in fail("paint>=2", "paint<2").message
    message = fail("paint>=2", "brush").message
    assert "brush" in message
    assert "paint<2" in message


def test_a_package_for_another_python_is_named_with_it(fail, packages, write_wheel):
    """The message lists the Pythons tried; the installer reports what the package requires."""
    write_wheel(packages, "tomorrow", "1.0", python=">=4")
    error = fail("tomorrow")
    assert type(error) is RequirementsError
    assert "requires Python >=4" in error.message


@pytest.mark.parametrize(
    "requirement",
    [
        "--index-url=https://packages.test/simple",
        "-r other.txt",
        "-e .",
        "paint --hash=sha256:00",
        "./paint",
        "../paint",
        "/srv/paint",
        "paint-1.0-py3-none-any.whl",
        "https://packages.test/paint.whl",
        "git+https://packages.test/paint",
        "paint @ https://packages.test/paint.whl",
        "paint @ file:///srv/paint",
        "paint\n--pre",
        "paint>=new",
    ],
)
def test_what_is_no_name_with_versions_is_refused(facade, plain, requirement):
    """The answer is 422, with the item and what it is; no job is recorded, and the installer does not run."""
    error = facade.error("run_plugin_release", plain, "look", {"names": []}, requirements=["paint", requirement])
    assert (type(error), error.error_type, error.outcome) == (ValidationError, "invalid_requirement", "rejected")
    is_address = "://" in requirement and not requirement.startswith("-")
    hint = "addresses need an agent that allows them (`serve --allow-requirement-urls`); " if is_address else ""
    assert error.message == f"requirements[1] is {requirement!r}; {hint}{WANTED}"


@pytest.mark.parametrize("requirement", ["", " "])
def test_an_empty_requirement_is_refused_by_its_place(facade, plain, requirement):
    """The answer is 422."""
    error = facade.error("run_plugin_release", plain, "look", {"names": []}, requirements=[requirement])
    assert (type(error), error.error_type) == (ValidationError, "invalid_requirement")
    assert error.message == f"requirements[0] is empty; {WANTED}"


def test_a_hundred_requirements_are_installed(facade, ledger, plain, packages, write_wheel, data):
    """They share one environment."""
    names = [f"colour{number}" for number in range(100)]
    for name in names:
        write_wheel(packages, name)
    kept = set((data / "environments").iterdir())
    ledger.expect(jobs=1, job_folders=1)
    assert facade.run_plugin_release(plain, "look", {"names": names}, requirements=names) == names
    (made,) = set((data / "environments").iterdir()) - kept
    shutil.rmtree(made)  # so that the other client's run creates it again


def test_a_run_works_once_the_cause_is_gone(facade, fail, ledger, plain, packages, write_wheel, data):
    """The agent does not remember the failure."""
    assert "late was not found" in fail("late").message
    wheel = write_wheel(packages, "late")
    kept = set((data / "environments").iterdir())
    ledger.expect(jobs=1, job_folders=1)
    assert facade.run_plugin_release(plain, "look", {"names": ["late"]}, requirements=["late"]) == ["late"]
    wheel.unlink()
    (made,) = set((data / "environments").iterdir()) - kept
    shutil.rmtree(made)


def test_a_bad_line_in_a_plugins_own_file_is_named(facade, plugins, write_files):
    """The message has file and line when the release is created, so that no caller of an action runs into it."""
    config = "code: demanding\nversion: 1.0.0\nactions: {go: {entrypoint: 'main:go', method: local}}\n"
    files = {"config.yaml": config, "main.py": "", "requirements.txt": "# tools\npaint\n--index-url https://x.test\n"}
    write_files(plugins / "demanding", files)
    error = facade.error("create_plugin_release", "demanding", "1.0.0")
    assert (error.status_code, error.error_type, error.outcome) == (422, "invalid_requirement", "rejected")
    assert error.message == (
        "requirements.txt, line 3, is '--index-url https://x.test'; "
        "indexes are set by the agent: `serve --index-url` and `--extra-index-url`"
    )
