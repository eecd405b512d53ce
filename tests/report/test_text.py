from thinkwright.report.text import compact, duration, escape, model_text, number, percent, signed


def test_model_text_cannot_become_markup():
    assert model_text("</pre><script>&\"'") == "&lt;/pre&gt;&lt;script&gt;&amp;&quot;&#x27;"


def test_bidirectional_zero_width_and_control_characters_are_shown_by_code_point():
    shown = model_text("a\u202eb\u2066\u200b\x1b\x00\r\ufeff")
    assert not {"\u202e", "\u2066", "\u200b", "\x1b", "\x00", "\r", "\ufeff"} & set(shown)
    for code_point in ("[U+202E]", "[U+2066]", "[U+200B]", "[U+001B]", "[U+0000]", "[U+000D]", "[U+FEFF]"):
        assert code_point in shown


def test_lines_tabs_and_chinese_stay_as_they_are():
    assert model_text("1\n\t等等，再检查") == "1\n\t等等，再检查"


def test_a_lone_surrogate_can_be_written_as_utf8():
    assert escape("\ud800").encode("utf-8") == b"[U+D800]"


def test_escape_is_safe_inside_a_quoted_attribute():
    assert escape('" onload="x') == "&quot; onload=&quot;x"


def test_numbers_read_as_one_would_say_them():
    assert [percent(0.2812), percent(0.2812, 0), percent(None)] == ["28.1%", "28%", "\N{EN DASH}"]
    assert [number(0.012345), number(1234.4), number(0), number(0.00001)] == ["0.0123", "1,234", "0", "1.0e-05"]
    assert [signed(3.14), signed(-3.14), signed(-0.01)] == ["+3.1", "\N{MINUS SIGN}3.1", "0.0"]
    assert [duration(45), duration(540), duration(9000)] == ["45 seconds", "9 minutes", "2.5 hours"]
    assert [compact(950), compact(1234), compact(9_999_999), compact(3.4e12)] == ["950", "1.23K", "10M", "3.4T"]


def test_a_long_text_is_cut_in_the_middle_and_the_cut_is_told():
    shown = model_text("a" * 500 + "b" * 500, limit=100)
    assert shown == "a" * 50 + '<span class="left-out">[900 characters left out]</span>' + "b" * 50
    assert model_text("a" * 100, limit=100) == "a" * 100
    assert model_text("a" * 1000, limit=None) == "a" * 1000


def test_what_is_cut_is_measured_as_html_and_never_inside_an_entity():
    assert (
        model_text("<" * 100, limit=80)
        == "&lt;" * 10 + '<span class="left-out">[80 characters left out]</span>' + "&lt;" * 10
    )
    assert len(model_text("\u202e" * 10_000, limit=1000)) < 1100
    assert len(model_text("\u7b49" * 10_000, limit=1000).encode()) < 1100
