from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from summexp.data.encoding import encoding_of, open_bytes, text_of
from summexp.errors import ConfigError

TEXTS = {
    "ko": "문서,요약\n정부는 내년 예산안을 국회에 제출했다.,예산안 제출\n",
    "ja": "本文,要約\n政府は来年度の予算案を国会に提出した。,予算案を提出\n",
    "zh": "正文,摘要\n政府向议会提交了明年的预算草案。,提交预算草案\n",
    "fr": "texte,résumé\nLe préfet a annoncé la fermeture de l'école dès février.,École fermée\n",
    "ru": "текст,итог\nПравительство внесло проект бюджета на будущий год.,Проект бюджета\n",  # noqa: RUF001
}


def read(path: Path, language: str | None = None) -> str:
    with open_bytes(path) as stream:
        encoding = encoding_of(stream, str(path), language=language)
        stream.seek(0)
        with text_of(stream, encoding) as text:
            return text.read()


@pytest.mark.parametrize("times", [1, 4000])
@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        ("ko", "cp949"),
        ("ko", "euc-kr"),
        ("ja", "shift_jis"),
        ("ja", "euc-jp"),
        ("ja", "iso2022_jp"),
        ("ko", "iso2022_kr"),
        ("zh", "gb18030"),
        ("fr", "cp1252"),
        ("fr", "latin-1"),
        ("ru", "cp1251"),
    ],
)
def test_another_encoding_is_detected_and_read(
    tmp_path: Path, language: str, encoding: str, times: int
) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes((TEXTS[language] * times).encode(encoding))
    assert read(path) == TEXTS[language] * times


@pytest.mark.parametrize(
    ("language", "encoding", "text"),
    [
        ("ja", "euc-jp", "今日はいい天気です。"),  # reported wrongly without the hint
        ("zh", "gb18030", "今天天气很好。"),
        ("zh", "big5", "今天天氣很好。"),
        ("pl", "cp1250", "Zażółć gęślą jaźń."),
        ("de-DE", "cp1252", "Schöne Grüße"),
    ],
)
def test_the_language_helps_with_a_few_letters(
    tmp_path: Path, language: str, encoding: str, text: str
) -> None:
    path = tmp_path / "rows.txt"
    path.write_bytes(text.encode(encoding))
    assert read(path, language) == text


def test_the_first_foreign_letter_may_come_late(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    text = "plain words only\n" * 200_000 + TEXTS["ko"]
    path.write_bytes(text.encode("cp949"))
    assert read(path) == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("compress", [False, True])
def test_unicode_is_read_without_its_mark(tmp_path: Path, encoding: str, compress: bool) -> None:
    path = tmp_path / "rows.csv"
    data = TEXTS["ko"].encode(encoding)
    path.write_bytes(gzip.compress(data) if compress else data)
    assert read(path) == TEXTS["ko"]


def test_a_few_broken_bytes_do_not_turn_utf8_into_something_else(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes((TEXTS["fr"] * 20).encode() + b"caf\xe9 noir\n")
    with pytest.raises(ConfigError, match="line 41: invalid UTF-8"):
        read(path)


def test_utf16_without_a_mark_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("document,summary\na,b\n".encode("utf-16-le"))
    with pytest.raises(ConfigError, match="UTF-16 text without a byte order mark"):
        read(path)


def test_the_head_of_one_endless_line_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    text = "[" + ", ".join(['{"문서": "정부는 예산안을 제출했다."}'] * 8000) + "]"
    path.write_bytes(text.encode("cp949"))
    with open_bytes(path) as stream:
        assert encoding_of(stream, str(path), head_only=True) == "cp949"
