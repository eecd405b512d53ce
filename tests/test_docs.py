"""The documents say what is there: links lead somewhere, commands and targets exist, the reference is the schema."""

import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from scripts.write_reference import PAGE, named, reference
from thinkwright.cli import _parser
from thinkwright.config.kinds import Recipe

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([\w-]+))?\)")
INCLUDED = re.compile(r'--8<-- "(.+)"')


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What the site makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"[-\s]+", "-", heading) for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(prose(page)):
        if "://" in target:
            continue
        place = page if not target else (page.parent / target).resolve()
        assert place.is_file(), f"{page.name} links {target}"
        assert not anchor or anchor in anchors(place), f"{page.name} links #{anchor} of {place.name}"
    for other in re.findall(r"docs/[\w/]+\.md", page.read_text(encoding="utf-8")):
        assert (ROOT / other).is_file(), f"{page.name} names {other}"
    for included in INCLUDED.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / included).is_file(), f"{page.name} includes {included}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_exists(page: Path) -> None:
    verbs = next(action.choices for action in _parser()._actions if isinstance(action.choices, dict))
    text, makefile = page.read_text(encoding="utf-8"), (ROOT / "Makefile").read_text(encoding="utf-8")
    code = re.findall(r"^```.*?^```|`[^`\n]+`", text, flags=re.DOTALL | re.MULTILINE)
    for verb, rest in re.findall(r"(?<!--arms )\bthinkwright ([a-z][a-z-]+)\b([^\n`#;|]*)", "\n".join(code)):
        assert verb in verbs, f"{page.name}: thinkwright {verb}"
        options = re.findall(r"(?<=\s)--[a-z][a-z-]+", rest)
        known = {option for action in verbs[verb]._actions for option in action.option_strings}
        nested = [action.choices for action in verbs[verb]._actions if isinstance(action.choices, dict)]
        known |= {o for choices in nested for p in choices.values() for a in p._actions for o in a.option_strings}
        assert set(options) <= known, f"{page.name}: thinkwright {verb} {rest}"
    for target in re.findall(r"\bmake ([a-z][a-z0-9-]+)\b", "\n".join(code)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"{page.name}: make {target}"


def test_every_page_stands_in_the_sites_table() -> None:
    listed = set(re.findall(r": ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert listed == {str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md")}


def test_the_recipe_reference_is_what_the_schema_says() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == reference(), "python scripts/write_reference.py writes it anew"
    assert "| `clip_low` |" in reference()


def test_a_key_that_holds_one_of_several_sections_says_what_it_means() -> None:
    """Without words of its own it would be told by the first of them."""
    for name, section in TypeAdapter(Recipe).json_schema()["$defs"].items():
        for key, schema in section["properties"].items():
            assert len(named(schema)) < 2 or schema.get("description"), f"{name}.{key}"
