"""The section in which a reader looks at single completions; ``browser.js`` fills it from the page's data."""

from thinkwright.report.rollout_data import SOURCES
from thinkwright.report.series import Row
from thinkwright.report.text import escape

_VERDICTS = (("", "any"), ("wrong", "wrong"), ("right", "right"), ("not-graded", "not graded"))
_SPREADS = (("", "any"), ("flat", "no variance"), ("all-right", "all right"), ("all-wrong", "all wrong"))
_REWARDS = (("", "any"), ("highest", "the step's highest"), ("lowest", "the step's lowest"))
_KEYS = (
    ("j k", "next, previous question"),
    ("l h", "next, previous completion"),
    ("arrows", "the same, once a question or completion has the focus"),
    ("] [", "next, previous step"),
    ("e", "the exact text of the completion, and back"),
    ("/", "to the search"),
    ("Esc", "from the search to the questions; from one question at all steps back to its step"),
)


def rollouts_section(data: Row | None) -> str:
    """Controls and an empty place for the questions; nothing for a run without completions (``data`` is None)."""
    if data is None:
        return ""
    intro = (
        "What the model wrote, question by question, with all completions of a question side by side. Filters combine: "
        "a question is shown if one of its completions fits them all, and those that do not fit are pale."
    )
    return (
        f"<p>{intro}</p>{_held(data)}"
        "<noscript><p>This part needs its script. The completions are in the run folder as well: rollouts/ and eval/."
        "</p></noscript>"
        f'<div id="rb-controls" hidden>{_step_controls()}{_filter_controls()}{_keys()}'
        '<p id="rb-status" role="status" aria-live="polite"></p>'
        '<p id="rb-empty" hidden>No completion has been written yet.</p>'
        '<button type="button" id="rb-back" hidden>Back to the step</button>'
        '<div id="rb-groups"></div>'
        '<button type="button" id="rb-more" hidden>More questions</button></div>'
    )


def _held(data: Row) -> str:
    """How much of the run a page that stands alone holds; nothing for a live page, which can show all of it."""
    if data["live"]:
        return ""
    told: list[str] = []
    for source in SOURCES.values():
        if source.name in data:
            shown = list(data[source.name]["shown"].values())
            groups, of = sum(len(step["groups"]) for step in shown), sum(step["of"] for step in shown)
            told.append(
                f"of {source.title.lower()} {len(shown):,} of {len(data[source.name]['steps']):,} steps, with "
                f"{groups:,} of their {of:,} questions"
            )
    return (
        f'<p class="aside">This page holds {escape("; ".join(told))}: the first, the last, those of alarms and some '
        "between, and some questions of each kind. <code>thinkwright watch</code> shows all of them.</p>"
    )


def _step_controls() -> str:
    return (
        '<fieldset class="rb-row"><legend>Where</legend>'
        '<label>From <select id="rb-source"></select></label>'
        '<button type="button" id="rb-previous" aria-label="previous step">&lsaquo;</button>'
        '<label>Step <input type="number" id="rb-step"></label>'
        '<input type="range" id="rb-slider" min="0" max="0" step="1" aria-label="step">'
        '<button type="button" id="rb-next" aria-label="next step">&rsaquo;</button></fieldset>'
    )


def _filter_controls() -> str:
    return (
        '<fieldset class="rb-row"><legend>Only</legend>'
        f"{_select('verdict', 'Verdict', _VERDICTS)}{_select('spread', 'Group', _SPREADS)}"
        f"{_select('reward', 'Reward', _REWARDS)}{_select('family', 'Family', (('', 'any'),))}"
        '<label><input type="checkbox" id="rb-truncated"> Cut off at the limit</label>'
        '<label>Contains <input type="search" id="rb-word" autocomplete="off" spellcheck="false"></label></fieldset>'
    )


def _select(name: str, label: str, options: tuple[tuple[str, str], ...]) -> str:
    told = "".join(f'<option value="{value}">{text}</option>' for value, text in options)
    return f'<label>{label} <select id="rb-{name}">{told}</select></label>'


def _keys() -> str:
    rows = "".join(f"<dt><kbd>{key}</kbd></dt><dd>{meaning}</dd>" for key, meaning in _KEYS)
    return (
        f'<details class="rb-keys"><summary>Keys</summary><dl class="facts">{rows}</dl>'
        '<label><input type="checkbox" id="rb-letters" checked> Single keys act</label></details>'
    )
