import re
from xml.etree import ElementTree

import pytest

from thinkwright.report.charts import HEIGHT, WIDTH, Level, Line, line_chart, moving_average, nice_ticks, strip, thinned


def _chart(*lines, levels=(), last_step=10.0):
    return ElementTree.fromstring(line_chart("A <title>", "y & z", lines, levels, "{:g}".format, last_step))


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
    line = Line("held-out", ((0, 0.9), (10, 0.95)), "held-out", is_noisy=False, half_widths=(0.05, 0.2))
    svg = _chart(line, levels=[Level("base", 1.3)])
    ys = [float(e.get(key)) for e in svg.iter("line") for key in ("y1", "y2")]
    assert min(ys) >= 0
    assert max(ys) <= HEIGHT
    assert "base" in _texts(svg)


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
