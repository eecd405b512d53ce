import base64
import hashlib
import json
import re

from thinkwright.report.document import contents, document, embedded_json

PARTS = [("one", "One", "<p>1</p>"), ("none", "None", "")]


def _script(page):
    return re.search(r'<script id="browser">(.*?)</script>', page, re.DOTALL)[1]


def _policy(page):
    return re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]


def test_without_data_there_is_no_script_and_none_may_run():
    page = document("title", "<h1>head</h1>", PARTS)
    assert "<script" not in page
    assert "default-src 'none'" in _policy(page)
    assert "script-src" not in _policy(page)


def test_only_the_script_that_stands_in_the_page_may_run():
    for data, connects in (({"live": False}, False), ({"live": True}, True)):
        page = document("title", "", PARTS, data)
        digest = base64.b64encode(hashlib.sha256(_script(page).encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}'" in _policy(page)
        assert ("connect-src 'self'" in _policy(page)) == connects
        assert "unsafe-eval" not in _policy(page)
        assert ("EventSource" in _script(page)) == connects


def test_the_script_makes_no_markup_of_text_and_is_small():
    script = _script(document("title", "", [], {"live": True}))
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|</script|<!--", script)
    assert not re.search(r"https?://", script)


def test_data_ends_no_script_and_hides_no_character():
    value = {"a": "</script><!--\u2028\u2029\u202e\ud800\x00\x7f\U000e0041", "b": "中 \U0001f600"}
    text = embedded_json(value)
    assert json.loads(text) == value
    assert "<" not in text
    assert text.isprintable()
    assert "中 \U0001f600" in text
    text.encode()


def test_parts_without_content_are_left_out_with_their_links():
    page = contents("<h1>head</h1>", PARTS)
    assert '<section id="one"><h2>One</h2>' in page
    assert '<a href="#one">One</a>' in page
    assert "none" not in page
