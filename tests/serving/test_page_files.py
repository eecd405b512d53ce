"""The chat page's files are sent as they are, with their types and a strict policy, and nothing else is."""

import hashlib
import re
import urllib.error
import urllib.request
from importlib import resources

import pytest

from thinkwright.serving.page_files import FILES, POLICY

PAGE = resources.files("thinkwright.serving").joinpath("page")


def _get(url, **headers):
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_every_file_of_the_page_is_served_as_it_is(address):
    kept = {name.name for name in PAGE.iterdir() if name.is_file()} - {"chat.html"}
    assert {name for name in FILES if "/" not in name} == kept
    for name in FILES:
        status, headers, content = _get(f"{address}page/{name}")
        assert (status, content) == (200, PAGE.joinpath(*name.split("/")).read_bytes())
        kind = "text/css" if name.endswith("css") else "text/javascript"
        assert headers["content-type"] == f"{kind}; charset=utf-8"
        assert headers["content-security-policy"] == POLICY


def test_a_file_that_the_browser_has_is_not_sent_again(address):
    status, headers, _ = _get(f"{address}page/main.js")
    assert (status, headers["cache-control"]) == (200, "no-cache")
    assert _get(f"{address}page/main.js", **{"If-None-Match": headers["etag"]})[::2] == (304, b"")
    assert _get(f"{address}page/main.js", **{"If-None-Match": '"another"'})[0] == 200


@pytest.mark.parametrize(
    "name", ["../page_files.py", "%2e%2e/page_files.py", "vendor/README.md", "chat.html", "", "x.js"]
)
def test_nothing_else_is_served(address, name):
    assert _get(f"{address}page/{name}")[0] == 404


def test_the_page_asks_for_what_is_there():
    html = PAGE.joinpath("chat.html").read_text(encoding="utf-8")
    asked = re.findall(r'(?:src|href)="page/([^"]+)"', html)
    modules = [name for name in FILES if name.endswith(".js") and "/" not in name]
    for name in modules:
        asked += re.findall(r'from "\./([^"]+)"', PAGE.joinpath(name).read_text(encoding="utf-8"))
    assert set(asked) == set(FILES)
    assert " style=" not in html
    assert "onclick" not in html


def test_the_libraries_are_those_whose_hashes_are_written_down():
    readme = PAGE.joinpath("vendor", "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\S+) \| (\S+) [\d.]+ \| ([0-9a-f]{64}) \|$", readme, re.MULTILINE)
    assert [f"vendor/{row[0]}" for row in rows] == [name for name in FILES if name.startswith("vendor/")]
    for name, package, digest in rows:
        assert hashlib.sha256(PAGE.joinpath("vendor", name).read_bytes()).hexdigest() == digest
        licence = PAGE.joinpath("vendor", f"LICENSE.{package}.txt").read_text(encoding="utf-8")
        assert "Permission is hereby granted, free of charge" in licence
