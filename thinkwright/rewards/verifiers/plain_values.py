"""Values of built-in types, as the sandbox sends them, and when two of them are the same.

Nothing here is a program's: values are built anew from JSON, so no method that a program overrode is ever called.
"""

import json
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

MAX_DEPTH = 300
MAX_SAME_HASH = 100
"""Members of a set or keys of a dict that may share their hash; more are made to be slow."""


@dataclass(frozen=True)
class Nodes:
    """A linked list by its values, or a binary tree in preorder (None: no node; otherwise the value in a tuple)."""

    kind: str
    values: tuple[Any, ...]


def decode_value(body: bytes) -> Any:
    """The value written in ``body`` by the sandbox. Raises ValueError if it is none."""
    try:
        return _decode(json.loads(body), 0)
    except (RecursionError, TypeError, LookupError, ArithmeticError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from error


def is_same(value: Any, expected: Any) -> bool:
    """Equal as Python has it for built-in types (2 is 2.0, [1] is not (1,)), but True is not 1."""
    if isinstance(value, bool) or isinstance(expected, bool):
        return value is expected
    if isinstance(value, Nodes) and isinstance(expected, Nodes):
        return value.kind == expected.kind and is_same(value.values, expected.values)
    for kind in (list, tuple, deque):
        if isinstance(value, kind) and isinstance(expected, kind):
            parts, others = cast("list[Any]", value), cast("list[Any]", expected)
            return len(parts) == len(others) and all(map(is_same, parts, others))
    if isinstance(value, set | frozenset) and isinstance(expected, set | frozenset):
        return _are_same_keys(cast("set[Any]", value), cast("set[Any]", expected))
    if isinstance(value, dict) and isinstance(expected, dict):
        left, right = cast("dict[Any, Any]", value), cast("dict[Any, Any]", expected)
        return _are_same_keys(left, right) and all(is_same(part, right[key]) for key, part in left.items())
    return bool(value == expected)


def is_in(part: Any, whole: Any) -> bool:
    """``part in whole`` as Python has it for built-in types, but True is not in [1]."""
    if isinstance(whole, str | bytes | bytearray):
        return part in whole
    return part in whole and any(is_same(part, member) for member in whole)


def _are_same_keys(keys: Collection[Any], expected: Collection[Any]) -> bool:
    found = {key: key for key in expected}
    return len(keys) == len(found) and all(key in found and is_same(key, found[key]) for key in keys)


def linked_list(values: list[Any]) -> Nodes | None:
    """What LeetCode's ``list_node`` makes of the values."""
    return Nodes("linked_list", tuple(values)) if values else None


def tree(values: list[Any]) -> Nodes | None:
    """What LeetCode's ``tree_node`` makes of the values, which go level by level with None where no node is."""
    if not values:
        return None
    children: dict[int, list[int | None]] = {0: []}
    waiting, following = deque([0]), iter(range(1, len(values)))
    while waiting:
        parent = waiting.popleft()
        for _ in ("left", "right"):
            child = next(following, None)
            child = child if child is not None and values[child] is not None else None
            children[parent].append(child)
            if child is not None:
                children[child] = []
                waiting.append(child)
    preorder: list[Any] = []
    stack: list[int | None] = [0]
    while stack:
        node = stack.pop()
        preorder.append(None if node is None else (values[node],))
        if node is not None:
            stack += reversed(children[node])
    return Nodes("tree", tuple(preorder))


def _decode(found: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(found, list):
        return [_decode(part, depth + 1) for part in cast("list[Any]", found)]
    if not isinstance(found, dict):
        return found
    [(kind, parts)] = cast("dict[str, Any]", found).items()
    if not isinstance(parts, list):
        raise ValueError("not a list of parts")
    values = [_decode(part, depth + 1) for part in cast("list[Any]", parts)]
    match kind:
        case "int":
            return int(values[0], 16)
        case "tuple":
            return tuple(values)
        case "dict":
            return dict(zip(_hashable(values[::2]), values[1::2], strict=True))
        case "set":
            return set(_hashable(values))
        case "frozenset":
            return frozenset(_hashable(values))
        case "bytes":
            return bytes(values)
        case "bytearray":
            return bytearray(values)
        case "complex":
            return complex(*values)
        case "deque":
            return deque(values)
        case "linked_list" | "tree":
            return Nodes(kind, tuple(values))
        case _:
            raise ValueError(f"no such type: {kind[:20]}")


def _hashable(values: list[Any]) -> list[Any]:
    if len(values) > MAX_SAME_HASH and max(Counter(map(hash, values)).values()) > MAX_SAME_HASH:
        raise ValueError("too many members of the same hash")
    return values
