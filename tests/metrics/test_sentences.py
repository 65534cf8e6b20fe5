# ruff: noqa: RUF001 -- letters of other scripts are what is tested here
from statistics import fmean

import nltk
import pytest

from summexp.errors import ConfigError
from summexp.metrics.config import MetricConfig
from summexp.metrics.scorer import SummaryScorer
from summexp.metrics.sentences import SentenceSplitter, load_punkt, with_line_ends

Rows = list[tuple[str, str]]


@pytest.mark.parametrize(
    ("language", "text", "sentences"),
    [
        ("en", "Dr. Smith came. He left.", ["Dr. Smith came.", "He left."]),
        ("en", "One line\nanother\r\n\r\n  third ", ["One line", "another", "third"]),
        ("en", "", []),
        ("en", " \n ", []),
        ("ja", "猫がいる。犬もいる！", ["猫がいる。", "犬もいる！"]),
        ("zh", "你好。再见？", ["你好。", "再见？"]),
        ("ko", "고양이가 갔다. 개도 갔다.", ["고양이가 갔다.", "개도 갔다."]),
        ("hi", "यह एक है। यह दो है।", ["यह एक है।", "यह दो है।"]),
        ("und-Arab", "هذا. هل؟ نعم.", ["هذا.", "هل؟", "نعم."]),
        ("el", "Τι είναι; Ναι.", ["Τι είναι;", "Ναι."]),
        ("th", "แมวกินปลา หมามี GPU 3 ตัว เด็ก ๆ ไป", ["แมวกินปลา", "หมามี GPU 3 ตัว", "เด็ก ๆ ไป"]),
        ("km", "នេះគឺ។ ទីពីរ៕", ["នេះគឺ។", "ទីពីរ៕"]),
        ("bo", "བོད། ཡིག།", ["བོད།", "ཡིག།"]),
    ],
)
def test_sentences_of_a_language(language: str, text: str, sentences: list[str]) -> None:
    assert SentenceSplitter(language)(text) == sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One.<n>Two. <n> Three.", "One.\nTwo.\nThree."),
        ("one<q>two", "one\ntwo"),
        ("one . [X_SEP] two . [X_SEP]", "one .\ntwo ."),
        ("<t> one . </t> <t> two . </t>", "one .\ntwo ."),
        ("<s> one . </s>\n<s> two . </s>", "one .\ntwo ."),
        ("one<S_SEP>two<eop>", "one\ntwo"),
        ("가.<n>나.", "가.\n나."),
        ("<n>", ""),
        # what is no marker stays, with its line ends
        ("\nif a < n > b, see [1] <name> <no>\n", "\nif a < n > b, see [1] <name> <no>\n"),
        ("\nplain\n", "\nplain\n"),
    ],
)
def test_markers_between_sentences_are_line_ends(text: str, expected: str) -> None:
    assert with_line_ends(text) == expected


def test_punkt_missing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    load_punkt.cache_clear()
    monkeypatch.setattr(nltk.data, "path", [])
    with pytest.raises(ConfigError, match=r"metric\.sentences: .*data, which are not installed"):
        SentenceSplitter("en", "punkt")


@pytest.mark.usefixtures("punkt")
def test_punkt_is_english_whatever_the_language() -> None:
    splitter = SentenceSplitter("ja", "punkt")
    assert splitter("Dr. Smith came. He left.\nNow。はい。") == [
        "Dr. Smith came.",
        "He left.",
        "Now。はい。",
    ]
    assert splitter.label.startswith("punkt-")


@pytest.mark.usefixtures("punkt")
def test_distance_from_punkt(scitldr: Rows, mts_dialog: Rows) -> None:
    """The figures in docs/metrics.md, as bounds."""
    ours, theirs = SentenceSplitter("en"), SentenceSplitter("en", "punkt")
    for rows in (scitldr, mts_dialog):
        assert fmean(ours(summary) == theirs(summary) for _, summary in rows) > 0.97
        references = [summary for _, summary in rows]
        leads = [" ".join(document.split()[:60]) for document, _ in rows]
        means = [
            SummaryScorer(
                MetricConfig(bootstrap_samples=0, sentences=splitter), language="en", references=[]
            )
            .score(leads, references)
            .summary["rougeLsum"]
            .value
            for splitter in ("sentencex", "punkt")
        ]
        assert means[0] == pytest.approx(means[1], abs=0.1)
