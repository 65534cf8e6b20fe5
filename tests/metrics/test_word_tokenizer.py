# ruff: noqa: RUF001 -- letters of other scripts are what is tested here
import random
import subprocess
import sys
import unicodedata

import pytest
from nltk.stem.snowball import SnowballStemmer
from rouge_score.tokenizers import DefaultTokenizer

from summexp.errors import ConfigError
from summexp.metrics.word_tokenizer import WordTokenizer


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("en", "The Cats' naïve running!", ["the", "cat", "na", "ve", "run"]),
        (
            "ko",
            "고양이가 ＧＰＵ 3개를 샀다.",
            ["고양이", "가", "gpu", "3", "개", "를", "사", "었", "다"],
        ),
        ("ja", "猫が学校へ行った。", ["猫", "が", "学校", "へ", "行っ", "た"]),
        ("ja", "ＧＰＵを１００台", ["gpu", "を", "100", "台"]),
        ("zh", "我喜欢GPU和猫，2024年。", ["我", "喜", "欢", "gpu", "和", "猫", "2024", "年"]),
        ("th", "แมวกินปลา 3 ตัว", ["แมว", "กิน", "ปลา", "3", "ตัว"]),
        ("km", "ភាសាខ្មែរ GPU ។", ["ភា", "សា", "ខ្មែ", "រ", "gpu"]),
        ("lo", "ວັນນີ້", ["ວັ", "ນ", "ນີ້"]),
        ("my", "မြန်မာ။", ["မြ", "န်", "မာ"]),
        ("de", "Die Häuser der STRASSE, Straße", ["die", "haus", "der", "strass", "strass"]),
        ("fr", "L'été, les étés", ["l", "été", "le", "été"]),
        ("ru", "Страны страной", ["стран", "стран"]),
        ("hi", "यह किताब है।", ["यह", "किताब", "है"]),
        ("fa", "می\u200cخواهم میخواهم", ["میخواهم", "میخواهم"]),
        ("tr", "İstanbul ISPARTA", ["istanbul", "\u0131sparta"]),
        ("bo", "བོད་ཡིག།", ["བོད", "ཡིག"]),
        (
            "und",
            "\ufb01le ｆｉｌｅ cafe\u0301 m² so\u00adft",
            ["file", "file", "café", "m2", "soft"],
        ),
    ],
)
def test_words_of_a_language(language: str, text: str, words: list[str]) -> None:
    assert WordTokenizer(language)(text) == words


@pytest.mark.parametrize("language", ["en", "ko", "ja", "zh", "th", "km", "de", "und"])
def test_no_words(language: str) -> None:
    count = WordTokenizer(language)
    assert count("") == []
    assert count(" \n — … 🙂 。") == []


@pytest.mark.parametrize("stemming", [True, False])
def test_english_is_rouge_score(stemming: bool, scitldr: list[tuple[str, str]]) -> None:
    ours = WordTokenizer("en", stemming=stemming)
    theirs = DefaultTokenizer(use_stemmer=stemming)
    for document, summary in scitldr[:100]:
        assert ours(document) == theirs.tokenize(document)
        assert ours(summary) == theirs.tokenize(summary)


def test_composed_and_decomposed_hangul_are_the_same() -> None:
    count = WordTokenizer("ko")
    text = "학교에 갔다"
    assert count(unicodedata.normalize("NFD", text)) == count(text)


def test_arabic_stems_do_not_depend_on_the_words_before() -> None:
    text = "يكتبون الكتابات والمدرسة استخرجوا بالمدارس المعلمون كتبوا يستخدمونها مسلمات فقال"
    words = text.split()
    alone = {word: SnowballStemmer("arabic").stem(word) for word in words}
    rng = random.Random(0)
    for _ in range(20):
        rng.shuffle(words)
        assert WordTokenizer("ar")(" ".join(words)) == [alone[word] for word in words]


def test_stemming_off() -> None:
    count = WordTokenizer("de", stemming=False)
    assert count.stemmer is None
    assert count("Häuser") == ["häuser"]


@pytest.mark.parametrize(("language", "tokenizer"), [("ko", None), ("hi", None), ("en", "han")])
def test_stemming_without_a_stemmer(language: str, tokenizer: str | None) -> None:
    with pytest.raises(ConfigError, match=r"metric\.stemming: there is no stemmer"):
        WordTokenizer(language, tokenizer=tokenizer, stemming=True)
    assert WordTokenizer(language, tokenizer=tokenizer).stemmer is None


def test_rouge_score_tokenizer_means_porter_in_every_language() -> None:
    count = WordTokenizer("ko", tokenizer="rouge_score")
    assert (count.label, count.stemmer) == ("rouge_score", "porter")
    assert count("고양이 running") == ["run"]


def test_dictionaries_are_loaded_only_for_their_language() -> None:
    code = (
        "import sys; from summexp.metrics.word_tokenizer import WordTokenizer;"
        "WordTokenizer('ko'); WordTokenizer('ja'); WordTokenizer('th');"
        "WordTokenizer('en')('cats'); WordTokenizer('zh')('我');"
        "heavy = {'kiwipiepy', 'fugashi', 'ipadic', 'pythainlp', 'evaluate', 'torch'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
