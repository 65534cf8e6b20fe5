"""Decoding of text files: gzip, byte order marks, and detection of other encodings than UTF-8."""

from __future__ import annotations

import codecs
import gzip
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from summexp.errors import ConfigError

_GZIP_MAGIC = b"\x1f\x8b"
_MARKS = (  # the longer first: UTF-32's little-endian mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SURE_ENCODINGS = ("utf-8", *(encoding for _, encoding in _MARKS), "iso2022_kr", "iso2022_jp")
"""Encodings that are detected by their form; another one is a guess by the language."""
_HEAD_BYTES = 1 << 16
_SHIFT = b"\x1b$"
"""Escape sequence of ISO 2022 encodings (old e-mails), all of whose bytes are ASCII."""
_CHUNK_BYTES = 1 << 20
_SAMPLE_BYTES = 1 << 16

_CYRILLIC = ("cp1251", "koi8_r")
_CENTRAL_EUROPEAN = ("cp1250",)
_ARABIC = ("cp1256",)
_ENCODINGS_OF_LANGUAGE: dict[str, tuple[str, ...]] = {
    "ko": ("cp949",),
    "ja": ("cp932", "euc_jp"),
    "zh": ("gb18030", "big5"),
    "th": ("cp874",),
    "vi": ("cp1258",),
    "el": ("cp1253",),
    "tr": ("cp1254",),
    "he": ("cp1255",),
    **dict.fromkeys(("ru", "uk", "bg", "sr", "mk", "be"), _CYRILLIC),
    **dict.fromkeys(("pl", "cs", "sk", "hu", "sl", "hr", "ro"), _CENTRAL_EUROPEAN),
    **dict.fromkeys(("ar", "fa", "ur"), _ARABIC),
}
_LIKELY_ENCODINGS = (
    *("cp949", "cp932", "euc_jp", "gb18030", "big5", "cp1252", "cp1251"),
    *("cp1253", "cp1255", "cp1256", "cp874"),
)
"""Encodings tried without a language. Not included are those similar to cp1252 (cp1250, cp1254,
cp1258): short texts in cp1252, which is more common, would be detected as one of them."""


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading; gzip is detected by content, not by name."""
    with path.open("rb") as file:
        yield decompressed(file)


def decompressed(file: io.BufferedReader[Any]) -> BinaryIO:
    """Return the content of a file that is at its start, compressed by gzip or not."""
    compressed = file.peek(2)[:2] == _GZIP_MAGIC
    return cast(BinaryIO, gzip.GzipFile(fileobj=file) if compressed else file)


@contextmanager
def text_of(stream: BinaryIO, encoding: str, *, strict: bool = True) -> Iterator[TextIO]:
    """Decode a stream that is at its start, without translating line ends; it stays open."""
    errors = "strict" if strict else "replace"
    text = io.TextIOWrapper(stream, encoding=encoding, errors=errors, newline="")
    try:
        yield text
    finally:
        text.detach()


def encoding_of(
    stream: BinaryIO, name: str, *, language: str | None = None, head_only: bool = False
) -> str:
    """Detect the encoding of a text.

    Args:
        stream: the text, which can be rewound. It is read to the end to verify UTF-8.
        name: name of the file in messages.
        language: ISO 639-1 code of its language, which helps the detection.
        head_only: whether to read the start only.

    Raises:
        ConfigError: the encoding cannot be detected.
    """
    stream.seek(0)
    head = stream.read(_HEAD_BYTES)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if _SHIFT in head:
        return "iso2022_kr" if b"\x1b$)C" in head else "iso2022_jp"
    if head.count(0) > len(head) // 10:
        raise ConfigError.of(
            what=f"{name} is a binary file, or UTF-16 text without a byte order mark",
            hint="Save it as UTF-8.",
        )
    if _is_utf8([head] if head_only else _chunks(head, stream)):
        return "utf-8"
    stream.seek(0)
    return _guess(name, _head_lines(stream) if head_only else stream, language)


def _head_lines(stream: BinaryIO) -> list[bytes]:
    """Return the start of a file, up to a byte that is not part of a multi-byte character."""
    head = stream.read(_HEAD_BYTES)
    if len(head) == _HEAD_BYTES:
        head = head[: max(head.rfind(mark) for mark in (b" ", b'"', b",", b"\n")) + 1]
    return head.splitlines(keepends=True)


def _chunks(head: bytes, stream: BinaryIO) -> Iterable[bytes]:
    yield head
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk


def _is_utf8(chunks: Iterable[bytes]) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in chunks:
            decoder.decode(chunk)
    except UnicodeDecodeError:
        return False
    return True


def _guess(name: str, lines: Iterable[bytes], language: str | None) -> str:
    """Detect the encoding from the non-ASCII lines around the first one that is not UTF-8."""
    sample: list[bytes] = []
    size = 0
    bad_line = 0
    for number, line in enumerate(lines, 1):
        if line.isascii():
            continue
        if not bad_line and not _is_utf8([line]):
            bad_line = number
        sample.append(line)
        size += len(line)
        if size > _SAMPLE_BYTES:
            if bad_line:
                break
            del sample[: len(sample) // 2]
            size = sum(map(len, sample))
    _check_corrupt_utf8(name, b"".join(sample), bad_line)
    encoding = _best(b"".join(sample), language)
    if encoding is None:
        raise ConfigError.of(
            what=f"the encoding of {name} cannot be detected", hint="Save it as UTF-8."
        )
    return encoding


def _check_corrupt_utf8(name: str, sample: bytes, bad_line: int) -> None:
    """Raise for a UTF-8 file with a few invalid bytes, which other encodings would garble."""
    text = sample.decode("utf-8", errors="replace")
    foreign = sum(not character.isascii() for character in text)
    if text.count("\ufffd") * 4 < foreign:
        raise ConfigError.of(
            what=f"{name}, line {bad_line}: invalid UTF-8, unlike the rest of the file",
            hint="Fix that line, or save the file again as UTF-8.",
        )


def _best(sample: bytes, language: str | None) -> str | None:
    from charset_normalizer import from_bytes

    hinted = _ENCODINGS_OF_LANGUAGE.get((language or "")[:2].lower(), ())
    if language and not hinted:
        hinted = ("cp1252",)
    for candidates in filter(None, (hinted, _LIKELY_ENCODINGS)):
        possible = [encoding for encoding in candidates if _decodes(sample, encoding)]
        if candidates is hinted and len(possible) == 1:
            return possible[0]
        if possible and (best := from_bytes(sample, cp_isolation=possible).best()):
            return best.encoding
    return None


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        sample.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
