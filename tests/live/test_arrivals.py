"""Files of a live run that are ready, without files and with a clock of the test's own."""

from __future__ import annotations

from bravaismap.live.arrivals import Arrivals, Stamp

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


def test_a_file_after_which_another_came_need_not_rest_as_long() -> None:
    arrivals = Arrivals(settle=1, patience=10)
    assert arrivals.ready({"f1.tif": OLD}, 0.0) == []
    assert arrivals.ready({"f1.tif": OLD, "f2.tif": OLD}, 0.1) == []
    assert arrivals.ready({"f1.tif": OLD, "f2.tif": OLD}, 0.25) == ["f1.tif"]
    arrivals.finish("f1.tif")
    grown = {"f2.tif": Stamp(200, 2), "f3.tif": OLD}
    assert arrivals.ready(grown | {"f2.tif": OLD}, 0.3) == []
    assert arrivals.ready(grown, 0.4) == []  # f2 has changed after f3 came
    assert arrivals.ready(grown, 0.7) == []
    assert arrivals.ready(grown, 1.4) == ["f2.tif", "f3.tif"]


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
    assert arrivals.waits({"a.tif": OLD})
    assert arrivals.ready(listing, 1.5) == []  # b waits for a
    assert arrivals.ready(listing, 2.0) == ["a.tif", "b.tif"]
    assert arrivals.fail("a.tif", 5.0)
    assert not arrivals.waits({"a.tif": OLD})
    assert arrivals.waits(listing)
    assert not arrivals.waits({})
    assert arrivals.ready(listing, 6.0) == ["b.tif"]
    listing["a.tif"] = Stamp(500, 7)
    assert arrivals.ready(listing, 7.0) == []
    assert arrivals.ready(listing, 8.0) == ["a.tif", "b.tif"]


def test_what_is_done_is_not_looked_at() -> None:
    assert Arrivals(0, 1, done={"a.tif"}).ready({"a.tif": OLD, "b.tif": OLD}, 0.0) == ["b.tif"]


def test_the_file_that_follows_is_the_first_that_is_neither_done_nor_given_up() -> None:
    arrivals = Arrivals(1, 0)
    listing = dict.fromkeys(["f10.tif", "f2.tif"], OLD)
    assert arrivals.following(listing) is None  # nobody has looked
    arrivals.ready(listing, 0.0)
    assert arrivals.following(listing) == "f2.tif"
    arrivals.finish("f2.tif")
    assert arrivals.following({"f10.tif": OLD}) == "f10.tif"
    arrivals.ready(listing, 1.0)
    assert arrivals.fail("f10.tif", 1.0)
    assert arrivals.following({"f10.tif": OLD}) is None
