"""The rules of a live run, without files and with a clock of the test's own."""

from __future__ import annotations

import numpy as np
import pytest

from bravaismap.errors import InputError
from bravaismap.live.arrivals import Alarm, Arrivals, Rule, Stamp, parse_rule

OLD = Stamp(100, 1)


def test_file_is_ready_once_it_has_settled() -> None:
    arrivals = Arrivals(settle=1, patience=10)
    assert arrivals.ready({"a.tif": Stamp(10, 1)}, 0.0) == []
    assert arrivals.ready({"a.tif": Stamp(20, 2)}, 0.9) == []  # it grew
    assert arrivals.ready({"a.tif": Stamp(20, 2)}, 1.8) == []
    assert arrivals.ready({"a.tif": Stamp(20, 3)}, 1.95) == []  # rewritten at the same size
    assert arrivals.ready({"a.tif": Stamp(20, 3)}, 3.0) == ["a.tif"]
    arrivals.finish("a.tif")
    assert arrivals.ready({"a.tif": Stamp(20, 3)}, 4.0) == []


def test_order_is_natural_and_an_unfinished_file_holds_back_those_behind_it() -> None:
    arrivals = Arrivals(settle=1, patience=10)
    names = ["f10.tif", "f2.tif", "f1.tif", "F3.tif"]
    assert arrivals.ready(dict.fromkeys(names, OLD), 0.0) == []
    assert arrivals.ready(dict.fromkeys(names, OLD), 1.0) == ["f1.tif", "f2.tif", "F3.tif", "f10.tif"]
    listing = {name: Stamp(200, 2) if name == "f2.tif" else OLD for name in names}
    assert arrivals.ready(listing, 2.0) == ["f1.tif"]
    assert arrivals.ready(listing, 3.0) == ["f1.tif", "f2.tif", "F3.tif", "f10.tif"]


def test_late_file_is_not_lost() -> None:
    arrivals = Arrivals(settle=0, patience=10)
    assert arrivals.ready({"f3.tif": OLD}, 0.0) == ["f3.tif"]
    arrivals.finish("f3.tif")
    assert arrivals.ready({"f2.tif": OLD, "f3.tif": OLD}, 1.0) == ["f2.tif"]


def test_unreadable_file_is_tried_again_then_given_up_then_taken_when_it_changes() -> None:
    arrivals, listing = Arrivals(settle=1, patience=5), {"a.tif": OLD, "b.tif": OLD}
    arrivals.ready(listing, 0.0)
    assert arrivals.ready(listing, 1.0) == ["a.tif", "b.tif"]
    assert not arrivals.fail("a.tif", 1.0)
    assert arrivals.ready(listing, 1.5) == []  # b waits for a
    assert arrivals.ready(listing, 2.0) == ["a.tif", "b.tif"]
    assert arrivals.fail("a.tif", 5.0)
    assert arrivals.ready(listing, 6.0) == ["b.tif"]
    listing["a.tif"] = Stamp(500, 7)
    assert arrivals.ready(listing, 7.0) == []
    assert arrivals.ready(listing, 8.0) == ["a.tif", "b.tif"]


def test_what_is_done_is_not_looked_at() -> None:
    assert Arrivals(0, 1, done={"a.tif"}).ready({"a.tif": OLD, "b.tif": OLD}, 0.0) == ["b.tif"]


@pytest.mark.parametrize(
    ("text", "rule", "said"),
    [
        ("none>0.05", Rule("none", True, 0.05), "none above 5 % and growing"),
        (" noise > 5 %", Rule("none", True, 0.05), "none above 5 % and growing"),
        ("hex<80%", Rule("hexagonal", False, 0.8), "hexagonal below 80 % and falling"),
        ("cent rect>.5", Rule("centered_rectangular", True, 0.5), "centered rectangular above 50 % and growing"),
    ],
)
def test_rules(text: str, rule: Rule, said: str) -> None:
    assert parse_rule(text) == rule
    assert str(rule) == said


@pytest.mark.parametrize("text", ["none", "none>5", "none=0.05", "none>1.2.3", ">0.1", "none>-1", ""])
def test_no_rules(text: str) -> None:
    with pytest.raises(InputError, match=r"the alarm .* was given"):
        parse_rule(text)


def test_class_of_a_rule() -> None:
    with pytest.raises(InputError, match="no lattice class is called 'cubic'"):
        parse_rule("cubic>0.1")
    assert parse_rule("kagome>0.1", ["kagome", "none"]).lattice == "kagome"


def raised(values: list[float], text: str = "none>0.05", frames: int = 3) -> list[int]:
    alarm = Alarm(parse_rule(text), frames)
    return [i for i, value in enumerate(values) if alarm.update(value) is not None]


def test_alarm_needs_enough_frames_beyond_the_threshold_that_grow() -> None:
    assert raised([0.01, 0.04, 0.06, 0.08, 0.10, 0.12]) == [4]
    assert raised([0.2, 0.2, 0.2, 0.2]) == []  # above, but not growing
    assert raised([0.30, 0.25, 0.20, 0.15]) == []
    assert raised([0.06, 0.04, 0.08, 0.03, 0.10]) == []  # never three in a row
    assert raised([0.06, 0.12, 0.07, 0.09]) == []  # a slope smaller than its error
    assert raised([0.90, 0.79, 0.78, 0.77], "hexagonal<80%") == [3]
    assert raised([0.06, 0.07, 0.08, 0.09, 0.10], frames=5) == [4]


def test_alarm_is_raised_once_until_the_fraction_comes_back() -> None:
    up = [0.06, 0.08, 0.10, 0.12]
    assert raised([*up, 0.14, 0.04, *up]) == [2, 8]


def test_slope_is_that_of_the_frames() -> None:
    alarm = Alarm(parse_rule("none>0"), 4)
    slopes = [alarm.update(value) for value in (0.1, 0.13, 0.16, 0.19)]
    assert slopes[:3] == [None] * 3
    assert slopes[3] == pytest.approx(0.03)
    rng = np.random.default_rng(0)
    assert sum(Alarm(parse_rule("none>0.05"), 8).update(v) is not None for v in 0.2 + 0.01 * rng.random(8)) == 0


def test_trend_needs_frames() -> None:
    with pytest.raises(InputError, match="at least 3"):
        Alarm(parse_rule("none>0.05"), 2)
