from thinkwright.tasks.decontamination import NgramIndex, ngrams, units


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
