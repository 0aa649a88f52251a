import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_twolayer._export.names import shortened


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["age", "a long name indeed"], ["age", "a long na…"]),
        (
            ["station_1_mean", "station_1_max", "age"],
            ["stati…mean", "stati…_max", "age"],
        ),
        (["aaaaaaaaa 1 zzzzz", "aaaaaaaaa 2 zzzzz"], ["aaaaaaaa…0", "aaaaaaaa…1"]),
        ([0, "a longer name"], ["0", "a longer …"]),
    ],
)
def test_names_keep_what_tells_them_apart(names, expected):
    assert shortened(names, 10) == expected


@given(st.lists(st.text("ab", max_size=30), unique=True, max_size=60))
def test_different_names_stay_different_and_short(names):
    short = shortened(names, 12)
    assert len(set(short)) == len(names)
    assert all(len(text) <= 12 for text in short)
