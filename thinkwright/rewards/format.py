"""The format reward (DeepSeek-R1, arXiv:2501.12948, section 2.2.2)."""

from thinkwright.chat.template import TEMPLATES


def format_score(template_name: str, completion: str) -> float:
    """1 if the completion is well formed by the template of this name, else 0."""
    return float(TEMPLATES[template_name].split(completion).is_well_formed)
