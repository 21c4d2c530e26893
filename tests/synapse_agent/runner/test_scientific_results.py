"""Results with values of numpy and pandas, which are installed in the plugin's environment."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.anyio

ACTIONS = """
    import numpy as np
    import pandas as pd

    def counted():
        labels = np.array([3, 1, 3])
        return dict(zip(*np.unique(labels, return_counts=True)))

    def arrays():
        return {
            "scalars": [np.float32(0.5), np.int8(3), np.bool_(True), np.str_("a"), np.longdouble(2.5)],
            "array": np.arange(4).reshape(2, 2),
            "masked": np.ma.array([1, 2], mask=[False, True]),
            "record": np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
            "times": np.array(["2024-01-02T03:04:05.5", "NaT"], dtype="datetime64[ns]"),
            "day": np.datetime64("2024-01-02"),
            "took": np.timedelta64(1500, "ms"),
            np.float64("nan"): np.array([1.0, np.nan, np.inf]),
            np.datetime64("2024-01-02"): 0,
        }

    def frames():
        frame = pd.DataFrame({
            "name": ["a", "b"],
            "score": [0.5, np.nan],
            "count": pd.array([1, None], dtype="Int64"),
            "at": pd.to_datetime(["2024-01-02", None]),
        })
        return {
            "frame": frame,
            "series": frame["name"],
            "index": frame.index,
            "empty": pd.DataFrame(),
            "numbered": pd.DataFrame([[1, 2]]),
            "categories": pd.Series(["x", "y"], dtype="category"),
            "scalars": [pd.NA, pd.NaT, pd.Timestamp("2024-01-02"), pd.Timedelta("90s"), pd.Period("2024-01")],
            "binned": pd.cut(pd.Series([1, 2, 9]), [0, 5, 10]).value_counts().to_dict(),
            "by_day": {pd.Timestamp("2024-01-02"): 1, pd.NA: 2},
        }

    def twice():
        return pd.DataFrame([[1, 2]], columns=["a", "a"])

    def pairs():
        return {"found": pd.DataFrame({("a", 1): [1]})}
    """


@pytest.fixture
def prepare(write_plugin):
    """Write the plugin with an entrypoint of one of its functions."""
    return lambda name: write_plugin(ACTIONS, requirements="numpy\npandas", entrypoint=f"plugin.main:{name}")


async def test_numpys_values_are_taken_as_keys_and_as_values(runner, prepare):
    """This covers scalars of every kind, arrays, and times finer than Python's."""
    assert await prepare("counted").run(runner) == {"1": 1, "3": 2}
    plugin = prepare("arrays")
    assert await plugin.run(runner) == {
        "scalars": [0.5, 3, True, "a", 2.5],
        "array": [[0, 1], [2, 3]],
        "masked": [1, None],
        "record": [[1, 2.5]],
        "times": ["2024-01-02T03:04:05.500000", None],
        "day": "2024-01-02",
        "took": 1.5,
        "NaN": [1.0, None, None],
        "2024-01-02": 0,
    }
    (facts,) = plugin.heard.events
    assert [place["path"] for place in facts["nonfinite"]["places"]] == ["$.NaN[1]", "$.NaN[2]"]


async def test_frames_are_lists_of_records_and_series_are_lists(runner, prepare):
    """A column keeps its type, missing values are `null`, and only NaN among floats is recorded."""
    plugin = prepare("frames")
    assert await plugin.run(runner) == {
        "frame": [
            {"name": "a", "score": 0.5, "count": 1, "at": "2024-01-02T00:00:00"},
            {"name": "b", "score": None, "count": None, "at": None},
        ],
        "series": ["a", "b"],
        "index": [0, 1],
        "empty": [],
        "numbered": [{"0": 1, "1": 2}],
        "categories": ["x", "y"],
        "scalars": [None, None, "2024-01-02T00:00:00", 90.0, "2024-01"],
        "binned": {"(0, 5]": 2, "(5, 10]": 1},
        "by_day": {"2024-01-02T00:00:00": 1, "null": 2},
    }
    (facts,) = plugin.heard.events
    assert facts["nonfinite"] == {"count": 1, "places": [{"path": "$.frame[1].score", "value": "NaN"}]}


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("twice", "$ is of type DataFrame: it has two columns 'a'"),
        ("pairs", "$.found[0] has the key ('a', 1), of type tuple"),
    ],
)
async def test_a_frame_whose_columns_make_no_keys_is_refused(runner, prepare, name, where):
    """The error names the column."""
    problem = await prepare(name).problem(runner)
    assert problem.message.startswith(f"The action's result cannot be written as JSON: {where}. ")
