from summexp.reports.texts import clean, excerpt, one_line


def test_clean_drops_control_characters_and_half_surrogates() -> None:
    assert clean("\x1b[31mred\x00\ud83d\x9b end\n\tnext") == "[31mred end\n\tnext"


def test_clean_keeps_what_scripts_and_emoji_need() -> None:
    text = "می‌خواهم 👩‍🔬 서울 東京"
    assert clean(text) == text


def test_one_line_takes_every_kind_of_line_end() -> None:
    assert one_line(" one\r\ntwo\u2028three\x0bfour ") == "one two three four"


def test_excerpt_is_cut_only_where_needed() -> None:
    assert excerpt("다섯 글자야", 6) == "다섯 글자야"
    assert excerpt("다섯 글자야", 4) == "다섯…"
