import pytest

from thinkwright.tasks.decontamination import LeakIndex, NgramIndex, identity, ngrams, units


def test_units_are_numbers_words_chinese_characters_and_operators() -> None:
    assert units("What is 12+3?") == ("what", "is", "12", "+", "3")
    assert units("赵有12笔，买3。") == ("赵", "有", "12", "笔", "买", "3")


def test_a_text_of_eleven_units_has_two_ten_grams_and_a_short_one_is_its_own() -> None:
    words = tuple("abcdefghijk")
    assert list(ngrams(" ".join(words))) == [words[:10], words[1:]]
    assert list(ngrams("a b")) == [("a", "b")]


def test_ten_shared_units_overlap_and_nine_do_not() -> None:
    index = NgramIndex(["one two three four five six seven eight nine ten eleven"])
    assert index.overlaps("so: Two, three four five six seven eight nine ten eleven!")
    assert not index.overlaps("so: three four five six seven eight nine ten eleven!")


def test_a_short_text_overlaps_only_with_its_equal() -> None:
    index = NgramIndex(["What is 1+2?"])
    assert index.overlaps("what is 1 + 2")
    assert not index.overlaps("What is 1+2+3?")


def test_letters_beside_chinese_are_units_of_their_own() -> None:
    assert units("f取x的2倍") == ("f", "取", "x", "的", "2", "倍")


def test_the_share_counts_a_texts_own_ten_grams() -> None:
    index = NgramIndex(["a b c d e f g h i j k"])
    assert index.share("a b c d e f g h i j x") == 0.5
    assert index.share("x") == 0


def test_every_sign_of_a_made_question_counts() -> None:
    assert identity("What is  1+2?", is_made=False) == identity("what is 1 + 2", is_made=False)
    assert identity("[ (", is_made=True) != identity("( [", is_made=True)
    assert identity("not ( True )", is_made=True) != identity("( not True )", is_made=True)
    assert identity("Not  True", is_made=True) == identity("not true", is_made=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Compute (8 - 3) * 2", "Compute 8 - (3 * 2)"),
        ("12 \u00d7 4", "12 \u00f7 4"),
        ("What is 5!?", "What is 5?"),
        ("\U0001f600", "\U0001f601"),
        ("1.5 + 1", "15 + 1"),
        ("Sort 1, 2.", "Sort 12."),
        ("f'(2)", "f(2)"),
        ("?", "!"),
    ],
)
def test_written_questions_that_differ_in_more_than_sentence_punctuation_are_not_the_same(one: str, other: str) -> None:
    assert identity(one, is_made=False) != identity(other, is_made=False)


def test_case_white_space_and_sentence_punctuation_make_no_difference() -> None:
    assert identity("So, WHAT is\n1+2?", is_made=False) == identity('so what is "1 + 2".', is_made=False)
    chinese = "\u8d75\u6709 12\u7b14\uff0c\u4e70 3\u3002", "\u8d75\u670912\u7b14, \u4e703"
    assert len({identity(text, is_made=False) for text in chinese}) == 1


def test_texts_of_symbols_alone_share_no_10_gram() -> None:
    index = NgramIndex(["\U0001f600"])
    assert not index.overlaps("\U0001f601")
    assert index.share("\U0001f601") == 0


def test_made_questions_leak_only_whole_and_written_ones_by_ten_words() -> None:
    index = LeakIndex()
    index.add("one two three four five six seven eight nine ten eleven", is_made=False)
    index.add("red and blue and red and blue and red and blue and green", is_made=True)
    assert index.leaks("one two three four five six seven eight nine ten", is_made=False)
    assert not index.leaks("one two three four five six seven eight nine ten", is_made=True)
    assert index.leaks("one  two three four five six seven eight nine ten eleven", is_made=True)
    assert not index.leaks("red and blue and red and blue and red and blue and yellow", is_made=False)
    assert index.leaks("red and blue and red and blue and red and blue and green.", is_made=False)
