"""Rules of alarms, and the frames that raise one."""

from __future__ import annotations

import numpy as np
import pytest

from bravaismap.errors import InputError
from bravaismap.live.alarms import Alarm, Rule, parse_rule


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
    with pytest.raises(InputError, match=r"the alarm .* was given.*none>0\.05 or none>5%, which are the same"):
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
