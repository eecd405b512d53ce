"""Write docs/recipe_reference.md from the recipe's schema: every key, what it may hold, its default, what it means.

Run from the repository's root: ``python scripts/write_reference.py``; a test holds the page against the schema.
"""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from thinkwright.config.kinds import RECIPES, Recipe
from thinkwright.config.pipeline import PipelineRecipe

PAGE = Path("docs/recipe_reference.md")
HEAD = """# Recipe reference

Every key of a recipe, from the schema that reads it (written by `python scripts/write_reference.py`). A recipe is one
TOML file; its `type` says of which kind it is. On the command line a key is written with dots: `optimizer.lr=1e-5`. A
key that is not here is an error, and so is one without effect beside the others. What several kinds share stands once,
under *Sections*.

"""
LIMITS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
NAMES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false", "object": "table"}
Schema = dict[str, Any]


def main() -> None:
    PAGE.write_text(reference(), encoding="utf-8")
    print(f"wrote {PAGE}")


def reference() -> str:
    """The whole page."""
    schemas = [TypeAdapter(kind).json_schema() for kind in (Recipe, PipelineRecipe)]
    parts: dict[str, Schema] = {name: part for schema in schemas for name, part in schema["$defs"].items()}
    parts["PipelineRecipe"] = schemas[1]
    kinds = [kind.__name__ for kind in RECIPES] + ["PipelineRecipe"]
    text = HEAD + "## Kinds of recipes\n\n" + "".join(section(name, parts) for name in kinds)
    return text + "## Sections\n\n" + "".join(section(name, parts) for name in sorted(parts) if name not in kinds)


def section(name: str, parts: dict[str, Schema]) -> str:
    """One table of keys, under its heading."""
    part = parts[name]
    kind = part.get("properties", {}).get("type", {}).get("const")
    title = f"### {name}\n\n" + ("" if kind is None else f'`type = "{kind}"`: ')
    rows = [row(key, value, key in part.get("required", ()), parts) for key, value in part["properties"].items()]
    about = plain(part.get("description", ""))
    return f"{title}{about}\n\n| key | holds | default | meaning |\n|---|---|---|---|\n" + "".join(rows) + "\n"


def row(key: str, schema: Schema, is_required: bool, parts: dict[str, Schema]) -> str:
    """One key."""
    meaning = schema.get("description") or " ".join(
        parts[name].get("description", "").partition("\n\n")[0] for name in named(schema)[:1]
    )
    return f"| `{key}` | {holds(schema)} | {default(schema, is_required)} | {plain(meaning)} |\n"


def holds(schema: Schema) -> str:
    """What may stand there, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(holds(option) for option in options if option.get("type") != "null"))
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(map(holds, schema['prefixItems']))}]"
        return f"list of {holds(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"table of {holds(schema['additionalProperties'])}"
    limits = [f"{sign} {schema[limit]:g}" for limit, sign in LIMITS.items() if limit in schema]
    return " ".join([NAMES.get(schema.get("type", ""), "anything"), *limits])


def named(schema: Schema) -> list[str]:
    """The sections that may stand there."""
    own = [schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else []
    options = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return own + [name for option in options for name in named(option)]


def default(schema: Schema, is_required: bool) -> str:
    """What holds if nothing is given."""
    if is_required or "const" in schema:
        return "must be given"
    value = schema.get("default")
    if value is None:
        return "-"
    return "its defaults" if isinstance(value, dict) and value else f"`{json.dumps(value, ensure_ascii=False)}`"


def plain(text: str) -> str:
    """A docstring as one cell of a table, with links to the pages that it names."""
    linked = re.sub(r"docs/([\w/]+\.md)", r"[\1](\1)", text)
    return " ".join(linked.replace("``", "`").replace("|", "\\|").split())


if __name__ == "__main__":
    main()
