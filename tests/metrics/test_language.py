# ruff: noqa: RUF001 -- letters of other scripts are what is tested here
import pytest

from summexp.errors import ConfigError
from summexp.metrics.language import choose_language, language_problem, recognize


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "The cat sat on the mat, " * 20 + "naïve"),
        ("ko", "고양이가 GPU 앞에 앉았다"),
        ("ja", "猫がＧＰＵの前に座った"),
        ("ja", "ﾈｺｶﾞｲﾙ"),
        ("zh", "我们使用 transformer 模型"),
        ("zh", "我喜歡の猫和狗以及所有的動物還有花草樹木和山川河流"),
        ("th", "แมวกินปลา"),
        ("el", "Η γάτα"),
        ("he", "חתול"),
        ("km", "ភាសាខ្មែរ"),
        ("lo", "ພາສາລາວ"),
        ("my", "မြန်မာ"),
        ("und-Cyrl", "Кошка сидит"),
        ("und-Arab", "القط هنا"),
        ("und-Deva", "बिल्ली यहाँ है"),
        ("und-Latn", "Der Löwe läuft über die Straße"),
        ("und", "ᏣᎳᎩ"),
        ("und", "123 – 456"),
    ],
)
def test_script(code: str, text: str) -> None:
    assert recognize([text]).code == code


def test_remark_names_evidence_and_way_out() -> None:
    remark = recognize(["고양이 가나"] * 3 + ["고양이a"]).remark
    # 5 + 5 + 5 + 3 letters of 19 are Hangul.
    assert remark == (
        "language: ko (95 % of the letters in 4 references are Hangul); set data.language to choose"
    )


def test_no_references() -> None:
    assert recognize([]).code == "und"
    assert recognize([""]).remark == "language: und (no letters in 1 reference)"


def test_sample_is_spread_over_all_references() -> None:
    language = recognize(["only english"] * 1000 + ["한국어 문장입니다 여기"] * 1000)
    assert language.code == "ko"
    assert "in 500 references" in language.remark


def test_given_code_wins_and_region_is_ignored() -> None:
    language = choose_language("pt_BR", ["고양이"])
    assert (language.code, language.origin) == ("pt", "config")
    assert choose_language("und", ["cat"]).code == "und"


@pytest.mark.parametrize(
    ("code", "text", "better"),
    [
        ("kr", "고양이", "ko"),
        ("en", "고양이", "ko"),
        ("zh", "猫がいる", "ja"),
        ("ko", "고양이", None),
        ("ja", "猫", None),
        ("yue", "猫", None),
        ("und", "고양이", None),
        ("de", "The cat", None),
        ("ko", "cat", None),
        ("ko", "", None),
    ],
)
def test_a_given_code_that_its_script_contradicts_is_reported(
    code: str, text: str, better: str | None
) -> None:
    language = choose_language(code, [text])
    assert (language.code, language.origin) == (code, "config")
    expected = f"language: {code} (data.language)"
    if better:
        share = next(iter(recognize([text]).remark.split("(")[1:])).split(")")[0]
        expected += f", although {share}: should it be {better}?"
    assert language.remark == expected


def test_unknown_code() -> None:
    with pytest.raises(ConfigError, match=r"data\.language: 'xq' is not a known language code"):
        choose_language("xq", [])
    assert language_problem("ko") is None
    problem = language_problem("jap")
    assert problem is not None
    assert "Did you mean 'ja'?" in str(problem.hint)


def test_real_english(scitldr: list[tuple[str, str]], mts_dialog: list[tuple[str, str]]) -> None:
    assert recognize([summary for _, summary in scitldr]).code == "en"
    assert recognize([note for _, note in mts_dialog]).code == "en"
