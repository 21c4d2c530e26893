"""Valid requirements, and their canonical form."""

from __future__ import annotations

import pytest

from synapse_agent.plugins.requirements import check_requirements
from synapse_agent.problems import Problem


def test_requirements_are_names_with_extras_versions_and_markers():
    """They are returned in one canonical form."""
    given = ["six", "Pillow >= 9.0.0, <12", "uvicorn[standard]==0.30.*", "tomli; python_version < '3.11'"]
    assert check_requirements(given) == (
        "six",
        "pillow<12,>=9.0.0",
        "uvicorn[standard]==0.30.*",
        'tomli; python_version < "3.11"',
    )


def test_what_means_the_same_comes_back_the_same():
    """Case, spacing, quotes and the order of extras and versions make no difference; see PEP 503 and 685."""
    given = ["Red_Ink[B_x, a.C]>=1,<2;python_version>'3'", 'red.ink [a-c,b-X] <2, >=1 ; python_version > "3"']
    assert set(check_requirements(given)) == {'red-ink[a-c,b-x]<2,>=1; python_version > "3"'}


@pytest.mark.parametrize(
    "bad",
    [
        *("", "  ", "-r other.txt", "--index-url=x", "-e .", "./here", "/there", "x.whl", "six=1", "six\nidna"),
        *("https://e.test/x.whl", "six @ https://e.test/six.whl", "six @ file:///tmp/six", "git+https://e.test/x"),
        *("six --hash=sha256:00", "x.tar.gz"),
    ],
)
def test_a_requirement_that_is_none_is_refused_by_index_and_text(bad):
    """With options, paths and URLs, a caller could install anything from anywhere."""
    with pytest.raises(Problem) as caught:
        check_requirements(["six", bad])
    assert (caught.value.status, caught.value.error_type) == (422, "invalid_requirement")
    assert caught.value.message.startswith("requirements[1] ")
    assert caught.value.extra == {"requirement": bad}
