"""What rejection sampling, reward models and evaluations of several models came to."""

from typing import Any

from thinkwright.report.results import result_section
from thinkwright.report.series import Row, Run
from thinkwright.report.text import MISSING, escape, model_text, percent, tokens


def sampling_section(run: Run) -> str:
    """How many completions were sampled, kept, and dropped for what reason."""
    counts = run.after
    if "sampled" not in counts:
        return "<p>Sampling has not come to its end, so nothing is counted yet.</p>"
    kept, sampled, mixed = counts["examples"], counts["sampled"], counts.get("mixed_in", 0)
    told = f"<p>{kept:,} of {sampled:,} responses were kept ({percent(kept / max(1, sampled))})"
    told += f", and {mixed:,} rows that no rule judges were mixed in.</p>" if mixed else ".</p>"
    tables = (
        ("Why responses were dropped", "Reason", counts.get("dropped") or {}),
        ("Kept, by kind of question", "Kind", counts.get("examples_by_family") or {}),
        ("Kept, by language", "Language", counts.get("examples_by_language") or {}),
    )
    return told + "".join(f"<h3>{title}</h3>{_count_table(name, rows)}" for title, name, rows in tables if rows)


def kept_rows_section(run: Run) -> str:
    """The first rows of the file as they will be learned from, each with where it is from."""
    cards = "".join(_row_card(row) for row in run.rows)
    intro = "<p>As they stand in examples.jsonl, which is shuffled; the first of them.</p>"
    return f"{intro}{cards}" if cards else ""


def preference_section(run: Run) -> str:
    """How often it tells what people preferred, how sure it may be believed, and whether length misleads it."""
    if not run.before:
        return "<p>No held-out pair has been looked at, so there is no result yet.</p>"
    bins: list[Row] = (run.after or run.before).get("calibration_bins") or []
    if not bins:
        return result_section(run)
    rows = "".join(
        f"<tr><td>{percent(one.get('said'))}</td><td>{percent(one.get('was'))}</td>"
        f"<td>{escape(one.get('count', MISSING))}</td></tr>"
        for one in bins
    )
    return (
        f"{result_section(run)}<h3>How sure it is, and how right</h3>"
        "<p>Held-out verdicts by the probability it gave them. Where it may be believed, both columns are alike; of "
        "few verdicts they differ by chance.</p>"
        '<div class="scroll"><table class="result"><thead><tr><th>It said</th><th>It was</th><th>Verdicts</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def table_section(run: Run) -> str:
    """The models side by side."""
    return comparison(run.table) or "<p>Not all models have been evaluated, so there is no table yet.</p>"


def comparison(table: Row) -> str:
    """What ``table.json`` holds as a table; nothing without columns and rows."""
    columns, rows = table.get("columns") or [], table.get("rows") or []
    if not columns or not rows:
        return ""
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in columns)
    body = "".join(_model_row(row) for row in rows)
    return (
        f'<div class="scroll"><table class="models"><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody>'
        "</table></div>"
    )


def _model_row(row: Row) -> str:
    cells = "".join(f"<td>{_shown(value, row.get('format'))}</td>" for value in row["values"])
    return f"<tr><th scope=row>{escape(row['figure'])}</th>{cells}</tr>"


def _shown(value: float | None, form: str | None) -> str:
    return percent(value) if form == "percent" else tokens(value)


def _count_table(name: str, counts: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><th scope=row>{escape(key.replace('_', ' '))}</th><td>{count:,}</td></tr>"
        for key, count in sorted(counts.items(), key=lambda entry: -entry[1])
    )
    return (
        f'<div class="scroll"><table class="result"><thead><tr><th scope=col>{name}</th><th>Responses</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row_card(row: Row) -> str:
    source: Row = row.get("source") or {}
    origin = source.get("prompt_id") or f"{source.get('file', '?')}, row {source.get('row', '?')}"
    language = f' lang="{escape(row.get("language") or "")}"'
    thought = str(row.get("thought") or "")
    block = f'<pre class="thought"{language}>{model_text(thought)}</pre>' if thought else '<p class="absent">None.</p>'
    return (
        f'<article class="example"><header><p class="tags"><span>{escape(origin)}</span></p>'
        f'<p class="question"{language}>{model_text(str(row.get("question") or ""))}</p></header>'
        f'<section class="reply"><h5>Thought</h5>{block}<h5>Answer</h5>'
        f'<pre class="answer"{language}>{model_text(str(row.get("answer") or ""))}</pre></section></article>'
    )
