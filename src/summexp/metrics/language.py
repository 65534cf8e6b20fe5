"""Language of the summaries: given by its code, or detected from the script.

Only the standard library is used, so that preflight can check `data.language` cheaply.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from summexp.errors import ConfigError, Problem, nearest

SAMPLE = 500
"""Number of references that are sampled, evenly spaced."""

_MAX_CHARACTERS = 2000
_FOREIGN_SHARE = 0.2
_KANA_SHARE = 0.05
_ENGLISH_NON_ASCII = 0.005

_ISO_639_1 = (
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy "
    "da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu "
    "hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb "
    "lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om "
    "or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw "
    "ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
_KNOWN = frozenset([*_ISO_639_1.split(), "ceb", "ckb", "fil", "pcm", "und", "yue"])


_NAMES = {
    "arabic": "ar",
    "chinese": "zh",
    "cn": "zh",
    "english": "en",
    "french": "fr",
    "german": "de",
    "hindi": "hi",
    "japanese": "ja",
    "jp": "ja",
    "korean": "ko",
    "portuguese": "pt",
    "russian": "ru",
    "spanish": "es",
    "thai": "th",
    "turkish": "tr",
    "vietnamese": "vi",
}
"""Common names of languages, to their codes."""


class _Script(NamedTuple):
    name: str
    """Its name in messages."""
    language: str
    """The code that it stands for; `und-…` where several large languages share the script."""


# By the first word of a character's Unicode name, which needs no table of code points.
_SCRIPTS = {
    "ARABIC": _Script("Arabic", "und-Arab"),
    "ARMENIAN": _Script("Armenian", "hy"),
    "BENGALI": _Script("Bengali", "bn"),
    "BOPOMOFO": _Script("Han", "zh"),
    "CJK": _Script("Han", "zh"),
    "CYRILLIC": _Script("Cyrillic", "und-Cyrl"),
    "DEVANAGARI": _Script("Devanagari", "und-Deva"),
    "ETHIOPIC": _Script("Ethiopic", "und-Ethi"),
    "GEORGIAN": _Script("Georgian", "ka"),
    "GREEK": _Script("Greek", "el"),
    "GUJARATI": _Script("Gujarati", "gu"),
    "GURMUKHI": _Script("Gurmukhi", "pa"),
    "HANGUL": _Script("Hangul", "ko"),
    "HEBREW": _Script("Hebrew", "he"),
    "HIRAGANA": _Script("kana", "ja"),
    "IDEOGRAPHIC": _Script("Han", "zh"),
    "KANNADA": _Script("Kannada", "kn"),
    "KATAKANA": _Script("kana", "ja"),
    "KATAKANA-HIRAGANA": _Script("kana", "ja"),
    "KHMER": _Script("Khmer", "km"),
    "LAO": _Script("Lao", "lo"),
    "LATIN": _Script("Latin", "und-Latn"),
    "MALAYALAM": _Script("Malayalam", "ml"),
    "MYANMAR": _Script("Burmese", "my"),
    "ORIYA": _Script("Odia", "or"),
    "SINHALA": _Script("Sinhala", "si"),
    "TAMIL": _Script("Tamil", "ta"),
    "TELUGU": _Script("Telugu", "te"),
    "THAI": _Script("Thai", "th"),
    "TIBETAN": _Script("Tibetan", "bo"),
}
_SHARED = {"bn": ("as",), "bo": ("dz",), "he": ("yi",), "zh": ("ja", "yue")}
"""For scripts that stand for one language, the other languages written in them."""
_OTHER = _Script("of another script", "und")


@dataclass(frozen=True)
class Language:
    """A language, and how it came to be known."""

    code: str
    """ISO 639-1 code; `und`, or `und-` and an ISO 15924 script, where only the script is known."""
    origin: str
    """`config` or `script`; kept in the metric's signature."""
    remark: str
    """One line to log: what was chosen, and why."""


def language_problem(code: str) -> Problem | None:
    """Return what is wrong with a `data.language` code, or None.

    A region or script after the code is allowed and ignored: `pt-BR`, `zh_Hant`, `ko_KR`.
    """
    if primary(code) in _KNOWN:
        return None
    hint = "Use an ISO 639-1 code such as en, ko, ja or zh; und stands for any other language."
    near = nearest(code.lower(), ["en", "de", "es", "fr", "ja", "ko", "th", "zh", "pt"])
    if (named := _NAMES.get(code.lower())) is not None:
        near = f"Did you mean {named!r}?"
    return Problem(
        key="data.language",
        what=f"{code!r} is not a known language code",
        hint=f"{near} {hint}" if near else hint,
    )


def choose_language(code: str | None, references: Sequence[str]) -> Language:
    """Take the language that the config names, else recognise it from the references' script.

    A named language that is not written in that script is taken too, but the remark says so:
    English words in Korean text are none, and kr, which looks like Korean, is Kanuri.

    Raises:
        ConfigError: `code` is not a known language code.
    """
    if code is None:
        return recognize(references)
    if problem := language_problem(code):
        raise ConfigError(problem)
    named, (found, evidence) = primary(code), _recognized(references)
    remark = f"language: {named} (data.language)"
    # Latin and a few other scripts tell little about the language.
    is_clear = found is not None and not found.startswith(("en", "und"))
    if found and is_clear and named not in ("und", found, *_SHARED.get(found, ())):
        remark += f", although {evidence}: should it be {found}?"
    return Language(named, "config", remark)


def recognize(references: Sequence[str]) -> Language:
    """Recognise the language of `references` from the letters they are written in.

    A script other than Latin is taken when it has a fifth of the letters: foreign terms in Latin
    letters are common in every language, the reverse is rare. Han with kana is Japanese, without it
    Chinese. Latin is taken for English while fewer than 1 letter in 200 is outside ASCII; that
    cannot tell English from a language that hardly uses accents, hence the remark.
    """
    code, evidence = _recognized(references)
    if code is None:
        return Language("und", "script", f"language: und ({evidence})")
    return Language(code, "script", f"language: {code} ({evidence}); set data.language to choose")


def _recognized(references: Sequence[str]) -> tuple[str | None, str]:
    """Return the code of the references' language (None without letters), and its evidence."""
    sample = references[:: max(1, -(-len(references) // SAMPLE))]
    letters = _count_letters(sample)
    total = letters.total()
    if not total:
        return None, f"no letters in {_references(sample)}"
    scripts: Counter[_Script] = Counter()
    for letter, count in letters.items():
        scripts[_script(letter)] += count
    return _decide(scripts, letters, total, _references(sample))


def _decide(
    scripts: Counter[_Script], letters: Counter[str], total: int, where: str
) -> tuple[str, str]:
    han, kana, latin = _SCRIPTS["CJK"], _SCRIPTS["HIRAGANA"], _SCRIPTS["LATIN"]
    groups = scripts.copy()
    if scripts[kana] >= _KANA_SHARE * (scripts[kana] + scripts[han]):
        groups[kana] += groups.pop(han, 0)
    else:
        groups[han] += groups.pop(kana, 0)
    del groups[latin]
    winner, count = groups.most_common(1)[0] if groups else (latin, 0)
    if count < _FOREIGN_SHARE * total:
        winner, count = latin, scripts[latin]
    code, name = winner.language, winner.name
    if winner == kana and scripts[han]:
        name = "kana and Han"
    evidence = f"{100 * count / total:.0f} % of the letters in {where} are {name}"
    if winner == latin:
        foreign = sum(n for letter, n in letters.items() if not letter.isascii())
        foreign -= total - scripts[latin]
        code = "en" if foreign < _ENGLISH_NON_ASCII * scripts[latin] else code
        evidence += f", {100 * foreign / max(1, scripts[latin]):.1f} % of these outside a-z"
    return code, evidence


def primary(code: str) -> str:
    """Return a language code without region and script: `pt` of `pt-BR`."""
    return code.strip().replace("_", "-").split("-")[0].lower()


def _references(sample: Sequence[str]) -> str:
    return f"{len(sample)} reference{'' if len(sample) == 1 else 's'}"


def _count_letters(texts: Sequence[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        # NFKC folds full-width Latin and half-width kana into the letters that they stand for.
        counts.update(unicodedata.normalize("NFKC", text[:_MAX_CHARACTERS]))
    return Counter({c: n for c, n in counts.items() if c.isalpha()})


def _script(letter: str) -> _Script:
    return _SCRIPTS.get(unicodedata.name(letter, "").split(" ")[0], _OTHER)
