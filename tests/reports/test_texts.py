from summexp.reports.texts import clean, excerpt, one_line, passage


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


def test_a_passage_keeps_its_lines() -> None:
    chat = "민아:  어디?\r\n준: 버스\u2028\x1b[31m민아: 응\r\n\r\n\r\n\r\n(끝) \n"
    assert passage(chat) == "민아: 어디?\n준: 버스\n[31m민아: 응\n\n(끝)"
    assert passage(chat, 12) == "민아: 어디?\n준:…"
