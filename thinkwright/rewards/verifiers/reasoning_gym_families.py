"""Which data sets of Reasoning Gym 0.1.25 can be trained on, found by asking each scorer what it pays for.

A data set is in if its entries survive JSON, its own gold earns full marks, and nothing else does: not noise, another
entry's gold, the gold with more text around it, NaN, or a changed number. Where only looseness or Python's ``eval``
stood in the way, the rules here are asked before the scorer, or in its place.
"""

import re

AS_IT_IS = frozenset({
    "ab", "acre", "aiw", "arc_1d", "base_conversion", "basic_arithmetic", "bf", "binary_alternation",
    "bitwise_arithmetic", "caesar_cipher", "calendar_arithmetic", "chain_sum", "circuit_logic", "codeio",
    "color_cube_rotation", "count_bits", "count_primes", "course_schedule", "cryptarithm", "decimal_arithmetic",
    "decimal_chain_sum", "dice", "emoji_mystery", "family_relationships", "figlet_font", "futoshiki", "game_of_life",
    "gcd", "group_anagrams", "isomorphic_strings", "jugs", "knight_swap", "largest_island", "lcm", "leg_counting",
    "letter_counting", "list_functions", "mahjong_puzzle", "manipulate_matrix", "maze", "mini_sudoku", "modulo_grid",
    "needle_haystack", "number_filtering", "number_format", "number_sequence", "palindrome_generation",
    "palindrome_partitioning", "path_star", "pool_matrix", "power_function", "prime_factorization", "products",
    "ransom_note", "rectangle_count", "rotate_matrix", "rotten_oranges", "self_reference", "sentence_reordering",
    "shortest_path", "simple_equations", "simple_geometry", "string_manipulation", "string_splitting",
    "string_synthesis", "sudoku", "syllogism", "tower_of_hanoi", "tsumego", "word_ladder", "word_sequence_reversal",
    "zebra_puzzles",
})  # fmt: skip
"""Their scorers are asked."""

EXACT = frozenset({
    "binary_matrix", "letter_jumble", "n_queens", "number_sorting", "spell_backward", "spiral_matrix",
    "string_insertion", "word_sorting",
})  # fmt: skip
"""Only the gold earns marks, spaces and case aside; the scorer is never asked.

The scorers of the matrices, the queens and the insertion run ``eval`` on the answer; number_sorting takes any list
within 1 of the right one; letter_jumble, spell_backward and word_sorting pay for the gold with anything after it.
"""

_VALUE = r"-?[0-9]+(?:[./][0-9]+)?"
_CLAIM = r"[A-Za-z]+ is an? [A-Za-z]+"
# No token can be read in two ways and none is given back, so that matching takes linear time.
# Products and sums of names of one letter, whole numbers and functions. No other name is called; no power has a power.
_FUNCTION = r"(?:sqrt|a?sinh?|a?cosh?|a?tanh?|exp|log|ln)(?=\s*\()"
_POWER = (
    r"(?<=[A-Za-z0-9])\*\*\s*(?:-?[0-9]{1,2}|\(\s*-?[0-9]{1,2}(?:/[0-9]{1,2})?\s*\)|[a-zA-Z](?![A-Za-z(]))(?!\s*\*\*)"
)
_NAME = r"(?<![A-Za-z])(?:pi|[A-Za-z])(?![A-Za-z]|\s*\()"
_NUMBER = r"[0-9]{1,12}+(?![0-9])"
_FORMULA = rf"(?:{_FUNCTION}|{_NAME}|{_NUMBER}|{_POWER}|\*(?!\*)|[-+/() ])++"
SHAPED = {
    "advanced_geometry": rf"{_VALUE}\s?\u00b0?|\(\s?{_VALUE},\s?{_VALUE}\s?\)",
    "complex_arithmetic": r"[-+0-9.ij() ]{1,80}",
    "countdown": r"(?:[0-9]{1,9}+(?![0-9])|\*(?!\*)|/(?!/)|[-+() ])++",
    "fraction_simplification": r"\$?(?:-?[0-9]+\s?/\s?[0-9]+|\\d?frac\{-?[0-9]+\}\{[0-9]+\})\$?",
    "gsm_symbolic": r"[0-9]+(?:\.[0-9]+)?",
    "kakurasu": r"[01 \n]+",
    "knights_knaves": rf"{_CLAIM}(?:(?:, and |, | and |\n){_CLAIM})*+\.?",
    "polynomial_equations": rf"{_VALUE}(?:,\s?{_VALUE})*",
    "polynomial_multiplication": _FORMULA,
    "quantum_lock": r"[A-C](?:\s?(?:\u2192|->|,)?\s?[A-C])*+",
    "simple_integration": _FORMULA,
    "sokoban": r"[UDLR]+",
    "survo": r"[0-9 \n]+",
    "time_intervals": r"[0-9]+ days?(?:, [0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)?|[0-9]{1,2}(?::[0-9]{2}){1,2}(?:\.[0-9]+)?",
}
"""Their scorers are asked about answers of this form only.

Without it they pay for more than the answer: for ``nan``, for a right number followed by others, for an integral that
was not worked out, or for Python (``sympy.parse_expr`` is ``eval``).
"""
SHAPES = {name: re.compile(shape) for name, shape in SHAPED.items()}

REFUSED = {
    "arc_agi": "its entries hold tuples, which JSON makes lists: the gold earns 0.05",
    "boxnet": "it has no gold answer",
    "coin_flip": "any beginning of the gold, such as 0, earns full marks",
    "composite": "it is a mixture of other data sets",
    "game_of_life_halting": "any text earns full marks",
    "graph_color": "it has no gold answer",
    "intermediate_integration": "making an entry can take minutes",
    "propositional_logic": "it has no gold answer",
    "puzzle24": "the numbers of the puzzle need not be used; the verifier countdown does this",
    "rearc": "its entries hold tuples, which JSON makes lists: the gold earns 0.05",
    "rubiks_cube": "it has no gold answer",
    "rush_hour": "it has no gold answer",
}
SUPPORTED = AS_IT_IS | EXACT | frozenset(SHAPED)
