"""The chat page as files: a fixed list, sent from the package with a policy that lets nothing else run or load."""

import hashlib
from functools import cache
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

_FOLDER = "page"
_PAGE = "chat.html"
# File names as they stand in the package, and as /page/... has them.
FILES = (
    "answer.js",
    "api.js",
    "chat.css",
    "compare.js",
    "conversation.js",
    "dom.js",
    "history.js",
    "main.js",
    "problems.js",
    "reply.js",
    "settings.js",
    "store.js",
    "stream.js",
    "thought.js",
    "thread.css",
    "thread.js",
    "vendor/markdown-it.min.mjs",
    "vendor/temml.min.js",
)
_MEDIA_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "mjs": "text/javascript"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Whatever a model wrote: no script but the page's own files runs, and nothing comes from or goes elsewhere."""


async def page(request: Request) -> Response:
    """The chat page (``GET /``)."""
    return _sent(request, _PAGE)


async def page_file(request: Request) -> Response:
    """One of its files (``GET /page/{file:path}``); 404 for any other name."""
    name = request.path_params["file"]
    if name not in FILES:
        return Response("there is no such file\n", 404)
    return _sent(request, name)


def _sent(request: Request, name: str) -> Response:
    """The file, or 304 if the browser has it: it asks each time, so a new version of the package is seen at once."""
    content, tag = _file(name)
    headers = {"content-security-policy": POLICY, "cache-control": "no-cache", "etag": tag}
    if tag in (held.strip() for held in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=_MEDIA_TYPES[name.rpartition(".")[2]])


@cache
def _file(name: str) -> tuple[bytes, str]:
    """Content and ETag."""
    content = resources.files("thinkwright.serving").joinpath(_FOLDER, *name.split("/")).read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'
