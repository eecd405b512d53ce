import re
from xml.etree import ElementTree

import pytest

from thinkwright.report.axes import inner_ticks, log_ticks
from thinkwright.report.charts import (
    HEIGHT,
    NUM_SERIES,
    WIDTH,
    Axis,
    Level,
    Line,
    line_chart,
    moving_average,
    nice_ticks,
    series_colour,
    small_chart,
    strip,
    thinned,
)
from thinkwright.report.charts_scatter import Dot, Plateau, scatter_chart
from thinkwright.report.series import Event


def _chart(*lines, levels=(), last_step=10.0, **more):
    return ElementTree.fromstring(line_chart("A <title>", "y & z", lines, levels, "{:g}".format, last_step, **more))


def _texts(svg):
    return [element.text for element in svg.iter("text")]


def test_ticks_are_round_and_enclose_the_values():
    assert nice_ticks(0, 0.73, 5) == pytest.approx((0, 0.2, 0.4, 0.6, 0.8))
    assert nice_ticks(-3, 41, 5) == pytest.approx((-10, 0, 10, 20, 30, 40, 50))
    assert nice_ticks(0, 0, 5)[-1] > 0


def test_a_chart_names_its_axes_and_reaches_from_the_first_step_to_the_last():
    svg = _chart(Line("reward", ((0, 0.0), (10, 2.0)), "train"))
    assert {"y & z", "training step", "0", "10", "2"} <= set(_texts(svg))
    (curve,) = svg.iter("polyline")
    (left, bottom), (right, top) = (map(float, pair.split(",")) for pair in curve.get("points").split())
    assert left < right <= WIDTH
    assert 0 <= top < bottom <= HEIGHT


def test_pointing_at_a_step_tells_every_lines_value():
    lines = Line("reward", ((0, 1.0), (1, 2.0)), "train"), Line("held-out", ((0, 0.25),), "held-out", is_noisy=False)
    titles = [title.text for title in _chart(*lines, last_step=1).iter("title")]
    assert titles == ["step 0\nreward: 1\nheld-out: 0.25", "step 1\nreward: 2"]


def test_a_long_run_stays_a_small_drawing():
    points = tuple((float(i), float(i % 7)) for i in range(10_000))
    svg = line_chart("t", "y", [Line("reward", points, "train")], [], "{:g}".format, 9999)
    assert len(svg) < 60_000
    assert "steps 0 to 83\n" in svg


def test_intervals_and_levels_are_drawn_inside_the_axes():
    line = Line("held-out", ((0, 0.9), (10, 0.95)), "held-out", is_noisy=False, band=((0.85, 0.95), (0.75, 1.15)))
    svg = _chart(line, levels=[Level("base", 1.3)])
    ys = [float(e.get(key)) for e in svg.iter("line") for key in ("y1", "y2")]
    (band,) = svg.iter("polygon")
    ys += [float(pair.split(",")[1]) for pair in band.get("points").split()]
    assert min(ys) >= 0
    assert max(ys) <= HEIGHT
    assert "base" in _texts(svg)


def test_a_band_reaches_from_its_low_ends_to_its_high_ones_and_is_told():
    line = Line("held-out", ((0, 0.5), (10, 0.5)), "held-out", is_noisy=False, band=((0.0, 1.0), (0.25, 0.75)))
    svg = _chart(line)
    (band,) = svg.iter("polygon")
    ys = [float(pair.split(",")[1]) for pair in band.get("points").split()]
    high_first, high_last, low_last, low_first = ys
    assert high_first < high_last < low_last < low_first
    assert low_first - high_first == pytest.approx(2 * (low_last - high_last), abs=0.2)
    assert next(svg.iter("title")).text == "step 0\nheld-out: 0.5 (0 to 1)"


def test_one_point_with_an_interval_has_a_whisker():
    line = Line("held-out", ((0, 0.5),), "held-out", is_noisy=False, band=((0.25, 0.75),))
    (whisker,) = [e for e in _chart(line).iter("line") if "whisker" in e.get("class")]
    assert float(whisker.get("y1")) > float(whisker.get("y2"))


def test_events_are_marked_where_they_happened_and_tell_their_line():
    event = Event(5.0, "alarm", "reward < 0 & falling")
    svg = _chart(Line("reward", ((0, 0.0), (10, 2.0)), "train"), marks=[event])
    (group,) = svg.iter("g")
    assert group.find("title").text == "alarm at step 5: reward < 0 & falling"
    (middle,) = [float(line.get("x1")) for line in group.iter("line")]
    ends = [float(pair.split(",")[0]) for pair in next(svg.iter("polyline")).get("points").split()]
    assert middle == pytest.approx(sum(ends) / 2, abs=0.1)
    assert list(svg)[-1] is group  # over the columns that tell values, so that it can be pointed at


def test_an_axis_of_another_unit_names_it_and_has_a_second_row():
    axis = Axis("tokens", lambda value: f"{value:g}T", lambda first, last: f"at {first:g}", ((10.0, "step 4"),))
    svg = _chart(Line("accuracy", ((0, 0.0), (10, 2.0)), "train"), axis=axis)
    assert {"tokens", "10T", "step 4"} <= set(_texts(svg))
    assert next(svg.iter("title")).text == "at 0\naccuracy: 0"


def test_a_small_chart_is_well_formed_and_has_a_scale_of_its_own():
    svg = ElementTree.fromstring(small_chart(Line("wait", ((0, 0.0), (9, 0.04)), "train"), "{:g}".format, 9))
    assert {"0", "9", "0.04"} <= set(_texts(svg))


def test_lines_of_a_kind_have_colours_of_their_own_then_dashes():
    colours = [series_colour(i) for i in range(2 * NUM_SERIES)]
    assert len(set(colours)) == 2 * NUM_SERIES
    assert all(("dashed" in colour) == (i >= NUM_SERIES) for i, colour in enumerate(colours))


def test_ticks_of_a_logarithm_are_round_and_within():
    assert log_ticks(8, 120) == pytest.approx((10, 20, 50, 100))
    assert log_ticks(1, 1e6) == pytest.approx([10.0**i for i in range(7)])
    assert inner_ticks(47, 5) == pytest.approx((0, 10, 20, 30, 40))


def test_points_lie_by_the_logarithm_and_the_frontier_joins_its_own():
    dots = [Dot(10, 0.2, 0, "a <b>"), Dot(100, 0.4, 1, "b"), Dot(1000, 0.6, 0, "c", (0.5, 0.7))]
    drawn = scatter_chart(
        "t", dots, "{:g}".format, (10, 1000), ("tokens", "right"), ((10, 0.2), (1000, 0.6)), Plateau(0.6, 0.5, 0.7, 500)
    )
    svg = ElementTree.fromstring(drawn)
    groups = list(svg.iter("g"))
    assert [group.find("title").text for group in groups] == ["a <b>", "b", "c"]
    forms = [group.find("path") for group in groups]
    xs = [float(re.search(r"[\d.]+", path.get("transform"))[0]) for path in forms]
    assert xs[1] == pytest.approx((xs[0] + xs[2]) / 2, abs=0.1)
    assert forms[0].get("d") == forms[2].get("d") != forms[1].get("d")
    (frontier,) = svg.iter("polyline")
    assert len(frontier.get("points").split()) == 2


def test_one_point_at_step_zero_gives_a_chart():
    assert list(_chart(Line("held-out", ((0, 0.0),), "held-out", is_noisy=False), last_step=0).iter("circle"))


def test_smoothing_and_thinning_keep_the_mean_of_a_constant_and_the_ends():
    points = tuple((float(i), 2.0) for i in range(1000))
    assert {y for _, y in moving_average(points)} == {2.0}
    assert len(thinned(points, 400)) <= 400
    assert thinned(points[:5], 400) == points[:5]


def test_a_strip_joins_before_and_after_and_marks_the_baselines():
    marks = [("bare", 0.1), ("forced", None), ("before", 0.25), ("after", 0.75)]
    drawn = strip(marks, "<family>")
    svg = ElementTree.fromstring(drawn)
    (joint,) = [e for e in svg.iter("line") if e.get("class") == "joint"]
    assert (joint.get("x1"), joint.get("x2")) == ("25.0%", "75.0%")
    assert len(re.findall('class="mark', drawn)) == 3
