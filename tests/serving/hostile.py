"""Requests that no client would send: broken JSON, broken HTTP, and values that cannot be. All from a seed."""

import json
import struct
from collections.abc import Callable
from random import Random
from typing import Any

HOST = "127.0.0.1"
POSTS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/api/chat",
    "/api/generate",
    "/api/show",
    "/votes",
)
GETS = ("/", "/health", "/metrics", "/openapi.json", "/v1/models", "/v1/models/x", "/api/tags", "/votes", "/page/a.js")
HUGE = 10 * 2**20
_MESSAGES = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "1 + 1?"}]
# With few tokens each, for some of these are answered after all.
_BODY: dict[str, Any] = {
    "model": "tiny-base", "messages": _MESSAGES, "prompt": "1 + 1 =", "input": "1 + 1?", "max_tokens": 2,
    "max_completion_tokens": 2, "max_output_tokens": 2, "options": {"num_predict": 2}, "stream": False,
    "temperature": 0.6, "top_p": 0.95, "top_k": 5, "min_p": 0.0, "seed": 1, "n": 1, "stop": ["x"], "logprobs": None,
    "top_logprobs": None, "think": True, "thinking": {"type": "enabled"}, "reasoning": {"effort": "low"},
    "reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": True}, "stream_options": {},
    "thinking_token_budget": 4, "separate_reasoning": True, "echo": False, "raw": False, "keep_alive": "5m",
    "metadata": {}, "user": "someone", "id": "x", "question": "?", "replies": [], "choice": "first", "note": "",
}  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 0.5, -0.0, 1e308, -1e308, 2**31, 2**53, 2**63, 2**64, -(2**63) - 1, 10**400, "", " ",
    "x", "\x00", "\ud800", "\udc00\ud800", "𝒳" * 50, "\u202e", "<|endoftext|>", "</think>", "{{ 7 * 7 }}",
    "a" * 5000, [], {}, [None], [[]], [{}], {"": ""}, {"\ud800": 1}, [1, "a", None], {"type": "x"}, {"role": "user"},
    ["\ud800"], [{"type": "text", "text": 3}], [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}],
    [10**30], [-1], [2**31], [0.5], {"effort": -1}, {"max_tokens": -5}, {"$ref": "#"}, {"__class__": "x"},
)  # fmt: skip
_NUMBERS = (
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1e-999", b"9" * 5000, b"0x10", b"1_000", b"01", b"-0",
    b"1" + b"0" * 400, b".5", b"5.", b"1E400000000",
)  # fmt: skip
_CHUNKS = (
    b"zz\r\nabc\r\n0\r\n\r\n", b"-1\r\na\r\n", b"f" * 40 + b"\r\na\r\n", b"3\r\nabcdef\r\n0\r\n\r\n",
    b"2;x=y\r\n{}\r\n0\r\nTrailer: a\r\n\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"2\n{}\n0\n\n\r\n",
)  # fmt: skip
_WRONG_HEADERS = (
    b"Host: evil.example", b"Host:", b"Host: [::1", b"Host: \xff\xfe", b"Host: a\r\nHost: b", b"Origin: http://[",
    b"Origin: null", b"Origin: http://evil.example", b"Origin: \xff", b"Origin: http://[::1]:99999999",
    b"Content-Length: -1", b"Content-Length: +5", b"Content-Length: 1e3", b"Content-Length: " + b"9" * 30,
    b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: 5, 5", b"Content-Length: \xc2\xb2",
    b"Content-Length: 4\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: \x0bchunked", b"Authorization: Bearer \xff\x80",
    b"Authorization: " + b"a" * 9000, b"X-Api-Key: \xe9", b"Content-Type: text/plain",
    b"Content-Type: multipart/form-data", b"Content-Type: application/json; charset=utf-99", b"Content-Type: \xff",
    b"Content-Encoding: gzip", b"Expect: 100-continue", b"Expect: a miracle", b"Accept: \xff/*",
    b"Upgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13", b"Upgrade: h2c",
    b"no colon here", b" leading: blank", b"name : blank", b"a: b\r\n folded", b"a: \x00", b": nameless", b"a\x01b: c",
    b"X-Forwarded-For: \xff", b"Cookie: " + b"a=b; " * 3000, b"Range: bytes=0-", b"Connection: keep-alive, close, x",
    b"X-Many: 1\r\n" * 500 + b"a: b",
)  # fmt: skip
_PATHS = (
    b"/page/../../etc/passwd", b"/page/%2e%2e/%2e%2e/etc/passwd", b"/page/..%2f..%2fetc%2fpasswd", b"/page/%00",
    b"/page/a%00.js", b"/page//etc/passwd", b"/page/", b"/page/%ff", b"/page/%ED%A0%80", b"/page/" + b"a" * 5000,
    b"/page/.", b"/page/chat.js/", b"/page/..\\..\\x", b"//", b"/%", b"/%zz", b"/v1/models/%00", b"/v1/models/%ff",
    b"/v1/models/..%2f..", b"/v1/models/", b"/votes?limit=x", b"/votes?since=%ff&&=&a", b"/?%00", b"*",
    b"http://evil.example/health", b"/v1/../health", b"/health;x=1", b"/health#a", b"/" + b"a" * 70_000, b"\xff",
    b"/a b", b"", b"/v1/chat/completions/", b"/V1/CHAT/COMPLETIONS", b"/api/show/../tags", b"/health?" + b"a=b&" * 2000,
)  # fmt: skip
_METHODS = (
    b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"PATCH", b"TRACE", b"CONNECT", b"POST", b"get", b"FOO", b"",
    b"\x00", b"P" * 300,
)  # fmt: skip


def request(method: bytes, path: bytes, body: bytes = b"", *lines: bytes, version: bytes = b"1.1") -> bytes:
    """One request, after which the connection is closed, unless ``lines`` say otherwise."""
    given = b"\r\n".join(lines).lower()
    if b"host:" not in given:
        lines = (f"Host: {HOST}".encode(), *lines)
    if b"content-length" not in given and b"transfer-encoding" not in given and (body or method == b"POST"):
        lines = (*lines, b"Content-Length: %d" % len(body))
    if b"connection:" not in given:
        lines = (*lines, b"Connection: close")
    return b"\r\n".join((b"%s %s HTTP/%s" % (method, path, version), *lines, b"", body))


def _post(random: Random, body: bytes, *lines: bytes) -> bytes:
    return request(b"POST", random.choice(POSTS).encode(), body, *lines)


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode()


def _valid(random: Random) -> bytes:
    keys = random.sample(sorted(_BODY), random.randrange(3, len(_BODY)))
    return _dumped(_BODY if random.random() < 0.3 else {key: _BODY[key] for key in ("model", *keys)})


def _broken_json(random: Random) -> bytes:
    whole = _valid(random)
    body = random.choice(
        (
            whole[: random.randrange(len(whole))],
            whole.replace(b'"', b"'"),
            whole[:-1] + b",}",
            b"\xef\xbb\xbf" + whole,
            whole.decode().encode("utf-16"),
            whole.decode().encode("utf-32"),
            whole + whole,
            bytes(random.randrange(256) for _ in range(random.randrange(200))),
            whole.replace(b"1", b"\xff"),
            b"",
            b"null",
            b"[]",
            b'"text"',
            b"3",
            b"\x00" * 100,
        )
    )
    return _post(random, body)


def _nested(random: Random) -> bytes:
    depth = random.choice((50, 500, 5_000, 100_000))
    opened, closed = random.choice(((b"[", b"]"), (b'{"a":', b"}")))
    inner = opened * depth + (b"1" if opened != b"[" else b"") + closed * random.choice((0, depth))
    key = random.choice(sorted(_BODY)).encode()
    return _post(random, random.choice((inner, b'{"model":"tiny-base","%s":%s}' % (key, inner))))


def _odd_numbers(random: Random) -> bytes:
    key = random.choice(sorted(_BODY)).encode()
    number = random.choice(_NUMBERS)
    return _post(random, _dumped(_BODY)[:-1] + b',"%s":%s}' % (key, number))


def _wrong_values(random: Random) -> bytes:
    body = dict(_BODY)
    for key in random.sample(sorted(_BODY), random.randrange(1, 4)):
        body[key] = random.choice(_VALUES)
    if random.random() < 0.3:
        body["messages"] = [random.choice([random.choice(_VALUES), {"role": random.choice(_VALUES), "content": "x"}])]
    if random.random() < 0.2:
        body[random.choice(("\ud800", "", "\x00", "__proto__"))] = random.choice(_VALUES)
    if random.random() < 0.5:  # few keys, so that a wrong one is not hidden behind another that is refused
        kept = {"model", "messages", "prompt", "input", "max_tokens", "max_completion_tokens", "max_output_tokens"}
        body = {key: value for key, value in body.items() if key in kept or value is not _BODY.get(key)}
    return _post(random, _dumped(body))


def _duplicate_keys(random: Random) -> bytes:
    key = random.choice(sorted(_BODY))
    twice = f',"{key}":{json.dumps(random.choice(_VALUES))}'.encode()
    return _post(random, _dumped(_BODY)[:-1] + twice * random.choice((1, 2, 500)) + b"}")


def _huge(random: Random) -> bytes:
    body = b'{"model":"tiny-base","prompt":"' + b"a" * HUGE + b'"}'
    if random.random() < 0.5:
        return _post(random, body)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (body[: HUGE // 2], body[HUGE // 2 :]))
    return _post(random, chunks + b"0\r\n\r\n", b"Transfer-Encoding: chunked")


def _odd_chunks(random: Random) -> bytes:
    return _post(random, random.choice(_CHUNKS), b"Transfer-Encoding: chunked")


def _odd_headers(random: Random) -> bytes:
    lines = random.sample(_WRONG_HEADERS, random.choice((1, 1, 1, 2)))
    if random.random() < 0.3:
        return request(b"GET", random.choice(GETS).encode(), b"", *lines)
    # The end of a line, lest a body that a header makes one of chunks be waited for: that is another test's matter.
    return _post(random, _valid(random), *lines) + b"\r\n\r\n"


def _odd_paths(random: Random) -> bytes:
    return request(random.choice((b"GET", b"GET", b"POST", b"HEAD")), random.choice(_PATHS))


def _odd_methods(random: Random) -> bytes:
    path = random.choice(POSTS + GETS).encode()
    return request(random.choice(_METHODS), path, random.choice((b"", _valid(random))))


def _odd_versions(random: Random) -> bytes:
    version = random.choice((b"1.0", b"1.0", b"0.9", b"2.0", b"1.2", b"9", b"1.1.1", b""))
    if random.random() < 0.5:
        return request(b"GET", random.choice(GETS).encode(), version=version)
    return request(b"POST", random.choice(POSTS).encode(), _valid(random), version=version)


def _no_http(random: Random) -> bytes:
    noise = bytes(random.randrange(256) for _ in range(random.randrange(1, 400)))
    return random.choice(
        (
            noise + b"\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + noise,
            b"GET /\r\n\r\n",
            b"\r\n\r\n\r\n\r\nx\r\n\r\n",
            struct.pack(">I", 2**31) + noise + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"a" * 100_000 + b"\r\n\r\n",
        )
    )


def _pipelined(random: Random) -> bytes:
    many = [request(b"GET", random.choice(GETS).encode(), b"", b"Connection: keep-alive") for _ in range(3)]
    many.append(request(b"POST", b"/v1/completions", _dumped(_BODY), b"Connection: keep-alive"))
    random.shuffle(many)
    return b"".join(many) + random.choice((_wrong_values(random), b"garbage\r\n\r\n"))


FAMILIES: dict[str, tuple[Callable[[Random], bytes], int]] = {
    "broken JSON": (_broken_json, 20),
    "deep nesting": (_nested, 8),
    "odd numbers": (_odd_numbers, 12),
    "wrong values": (_wrong_values, 40),
    "keys given twice": (_duplicate_keys, 8),
    "huge bodies": (_huge, 1),
    "odd chunks": (_odd_chunks, 8),
    "odd headers": (_odd_headers, 20),
    "odd paths": (_odd_paths, 15),
    "odd methods": (_odd_methods, 12),
    "odd versions": (_odd_versions, 6),
    "no HTTP": (_no_http, 6),
    "pipelined": (_pipelined, 4),
}
"""What there is, and how much of it."""


def hostile_request(number: int, seed: int) -> tuple[str, bytes]:
    """The family and the bytes of one request."""
    random = Random(f"{seed}/{number}")
    name = random.choices(list(FAMILIES), [weight for _, weight in FAMILIES.values()])[0]
    return name, FAMILIES[name][0](random)
