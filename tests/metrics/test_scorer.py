import re
from pathlib import Path

import pytest
from rouge_score.rouge_scorer import RougeScorer

from summexp.errors import ConfigError
from summexp.metrics.config import MetricConfig
from summexp.metrics.rouge import TYPES
from summexp.metrics.score import Baseline, Score, flat
from summexp.metrics.scorer import SummaryScorer, SummaryScores


def scorer(language: str | None = "en", *references: str, **config: object) -> SummaryScorer:
    settings = MetricConfig(**{"names": ["rouge"], "bootstrap_samples": 0, **config})  # type: ignore[arg-type]
    return SummaryScorer(settings, language=language, references=references)


def values(scores: SummaryScores) -> dict[str, float]:
    return {name: estimate.value for name, estimate in scores.summary.items()}


@pytest.mark.parametrize(
    ("reference", "prediction", "rouge1", "rouge2", "rouge_l"),
    [
        # ja: 猫 が 学校 へ 行っ た / 犬 が 学校 へ 走っ た
        ("猫が学校へ行った。", "犬が学校へ走った。", 4 / 6, 2 / 5, 4 / 6),
        # ko: 고양이 가 학교 에 가 었 다 / 강아지 가 학교 에 가 었 다
        ("고양이가 학교에 갔다.", "강아지가 학교에 갔다.", 6 / 7, 5 / 6, 6 / 7),
        # zh: 我 喜 欢 猫 / 猫 喜 欢 gpu
        ("我喜欢猫", "猫喜欢GPU", 3 / 4, 1 / 3, 2 / 4),
        # th: แมว กิน ปลา / แมว กิน หมู
        ("แมวกินปลา", "แมวกินหมู", 2 / 3, 1 / 2, 2 / 3),
        # km: ភា សា / ភា រ
        ("ភាសា", "ភារ", 1 / 2, 0, 1 / 2),
        # Cyrillic, no stemmer: 2 of 3 words
        ("кошка сидит дома", "кошка сидит тут", 2 / 3, 1 / 2, 2 / 3),
        ("यह किताब है।", "यह कलम है।", 2 / 3, 0, 2 / 3),
    ],
)
def test_scores_by_hand_in_every_script(
    reference: str, prediction: str, rouge1: float, rouge2: float, rouge_l: float
) -> None:
    scores = scorer(None, reference).score([prediction], [reference])
    expected = {"rouge1": rouge1, "rouge2": rouge2, "rougeL": rouge_l, "rougeLsum": rouge_l}
    assert values(scores) == pytest.approx({k: 100 * v for k, v in expected.items()})
    assert scores.rows == {name: [value] for name, value in values(scores).items()}


def test_rouge_lsum_counts_sentences_in_any_order() -> None:
    scores = scorer("ja").score(["犬もいる。猫がいる。"], ["猫がいる。犬もいる。"])
    # 猫 が いる 犬 も いる: three of six words stay in order.
    assert scores.summary["rougeL"].value == pytest.approx(50)
    assert scores.summary["rougeLsum"].value == pytest.approx(100)


def test_rows_and_mean() -> None:
    scores = scorer().score(["a b", "", "x y", "c"], ["a b", "c", "", "c d d"])
    assert scores.rows["rouge1"] == pytest.approx([100, 0, 0, 50])
    assert scores.summary["rouge1"].value == pytest.approx(37.5)
    assert set(scores.summary) == {"rouge1", "rouge2", "rougeL", "rougeLsum"}


def test_intervals_surround_the_mean() -> None:
    predictions, references = ["a b c", "a x y", "x y z"] * 10, ["a b c"] * 30
    scores = scorer(bootstrap_samples=500, confidence=0.9).score(predictions, references)
    assert scores.summary["rouge1"].value == pytest.approx(400 / 9)
    _, low, high = scores.summary["rouge1"]
    assert low is not None
    assert high is not None
    assert 25 < low < 400 / 9 < high < 65


def test_zero_rows_and_one_row() -> None:
    score = scorer(bootstrap_samples=100).score
    assert score([], []).summary == {}
    assert score(["a b"], ["a c"]).summary["rouge1"] == pytest.approx((50, 50, 50))


def test_different_lengths_are_a_bug() -> None:
    with pytest.raises(ValueError, match="predictions"):
        scorer().score(["a"], [])


def test_lead_1_for_short_references() -> None:
    lead = scorer().lead_baseline(["A cat sat. A dog ran. Rain."], ["a cat"])
    assert lead is not None
    assert lead.name == "lead1"
    assert lead.scores == pytest.approx(
        {"rouge1": 80.0, "rouge2": 200 / 3, "rougeL": 80.0, "rougeLsum": 80.0}
    )


def test_lead_3_where_references_have_two_sentences() -> None:
    documents = ["One. Two. Three. Four. Five."] * 2
    lead = scorer().lead_baseline(documents, ["One. Two. Three.", "Four."])
    # One two three against the references: 1 and 0.
    assert lead is not None
    assert (lead.name, lead.scores["rouge1"]) == ("lead3", pytest.approx(50))
    assert set(lead.scores) == {"rouge1", "rouge2", "rougeL", "rougeLsum"}


def test_lead_baseline_of_nothing() -> None:
    assert scorer().lead_baseline([], []) is None
    assert scorer(baseline=False).lead_baseline(["A."], ["A."]) is None


def test_signature_is_complete() -> None:
    made = scorer(None, "plain English words", bootstrap_samples=1000)
    assert re.fullmatch(
        r"rouge\|lang:en\(script\)\|tok:rouge_score\|stem:porter\|sents:sentencex-[\d.]+"
        r"\|boot:1000\|conf:0.95\|v:[\d.]+",
        made.signature,
    )
    assert made.remark.startswith("language: en (100 % of the letters in 1 reference are Latin")
    other = scorer("ko", tokenizer="unicode", stemming=False, decimals=4)
    assert "|lang:ko(config)|tok:unicode|stem:none|" in other.signature
    assert "|boot:0|dec:4|" in other.signature
    assert "|tok:kiwi(kiwipiepy-" in scorer("ko").signature
    # In the order of the tables, whatever the order they are asked for in.
    assert scorer(names=["novelty", "rouge"]).signature.startswith("rouge+novelty|lang:")
    several = SummaryScorer(MetricConfig(), language="en", references=[["a", "b"], ["c"]])
    assert "|refs:best|" in several.signature


def test_decimals_and_median() -> None:
    made = scorer(bootstrap_samples=50, aggregate="bootstrap_median", decimals=2)
    scores = made.score(["a", "x", "x"], ["a", "a", "a"])
    # Resampled means of three rows are multiples of a third.
    assert scores.summary["rouge1"].value in (0.0, 33.33, 66.67, 100.0)
    assert scores.rows["rouge1"] == [100.0, 0.0, 0.0]


def test_mistakes() -> None:
    with pytest.raises(ConfigError, match=r"data\.language"):
        scorer("klingon")
    with pytest.raises(ConfigError, match=r"metric\.stemming"):
        scorer("ja", stemming=True)


def test_the_example_in_the_docs_runs(capsys: pytest.CaptureFixture[str]) -> None:
    docs = Path(__file__).parents[2] / "docs" / "metrics.md"
    if not docs.exists():
        pytest.skip(f"not a checkout: {docs} is missing")
    code = docs.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    exec(compile(code, str(docs), "exec"), {})
    remark, signature, scores = capsys.readouterr().out.splitlines()
    assert remark.startswith("language: en (100 % of the letters in 2 references are Latin")
    assert signature.startswith(
        "rouge+length_ratio+repetition|lang:en(script)|tok:rouge_score|stem:porter|"
    )
    # cat sat of 3 and 6 words; it rain of 4 and 2.
    mean, first, second = (float(word.strip("[],")) for word in scores.split())
    assert (first, second) == pytest.approx((400 / 9, 200 / 3))
    assert mean == pytest.approx((400 / 9 + 200 / 3) / 2)


def test_of_several_references_each_score_takes_its_best() -> None:
    references = [["a b c d", "b a", "x"], ["x"]]
    scores = scorer(names=["rouge", "length_ratio"]).score(["a b", "x"], references)
    # Against "a b c d": 2/3, 1/2 and 2/3; against "b a": 1, 0 and 1/2.
    assert scores.rows["rouge1"] == pytest.approx([100, 100])
    assert scores.rows["rouge2"] == pytest.approx([50, 0])
    assert scores.rows["rougeL"] == pytest.approx([200 / 3, 100])
    assert scores.rows["length_ratio"] == [1, 1]
    one_by_one = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    theirs = one_by_one.score_multi(references[0], "a b")
    for name, score in theirs.items():
        assert scores.rows[name][0] == pytest.approx(100 * score.fmeasure)
    lead = scorer().lead_baseline(["A b.", "y"], references)
    assert lead is not None
    assert (lead.name, lead.scores["rouge1"]) == ("lead1", pytest.approx(50))


@pytest.mark.parametrize(
    ("language", "document", "prediction", "novel"),
    [
        ("en", "Cats sat. A dog ran.", "The cat sat.", (200 / 3, 100, 100)),
        # 고양이 가 학교 에 가 었 다 / 강아지 가 학교 에 가 었 다
        ("ko", "고양이가 학교에 갔다.", "강아지가 학교에 갔다.", (100 / 7, 100 / 6, 100 / 5)),
        # 猫 が 学校 へ 行っ た / 犬 が 学校 へ 走っ た
        ("ja", "猫が学校へ行った。", "犬が学校へ走った。", (200 / 6, 300 / 5, 300 / 4)),
        ("zh", "我喜欢猫", "猫喜欢GPU", (1 / 4 * 100, 200 / 3, 100)),
        ("th", "แมวกินปลา", "แมวกินหมู", (100 / 3, 50, 100)),
        ("ar", "القطة تنام", "القطة تلعب", (50, 100, 0)),
    ],
)
def test_new_n_grams_in_every_script(
    language: str, document: str, prediction: str, novel: tuple[float, ...]
) -> None:
    made = scorer(language, names=["novelty", "compression", "repetition"])
    scores = made.score([prediction, document], [document, document], [document, document])
    for n, share in zip((1, 2, 3), novel, strict=True):
        # The document is not new against itself.
        assert scores.rows[f"novel_{n}grams"] == pytest.approx([share, 0])
    assert scores.rows["compression"][1] == 0
    assert list(scores.rows) == [
        "compression",
        *(f"novel_{n}grams" for n in (1, 2, 3)),
        *(f"repeated_{n}grams" for n in (1, 2, 3)),
    ]


@pytest.mark.parametrize("language", ["en", "ko", "ja", "th", "zh", "ar"])
def test_what_is_copied_from_a_document_is_not_new(language: str) -> None:
    documents = {
        "en": "The river rose. Nobody was hurt. Three bridges were closed!",
        "ko": "강이 불어났다. 다친 사람은 없었다. 다리 세 개가 통제됐다.",
        "ja": "川が増水した。けが人はいない。三つの橋が閉鎖された。",
        "th": "แม่น้ำสูงขึ้น ไม่มีใครบาดเจ็บ สะพานสามแห่งถูกปิด",
        "zh": "河水上涨。没有人受伤。三座桥关闭。",
        "ar": "ارتفع النهر. لم يصب أحد. أغلقت ثلاثة جسور.",
    }
    document = documents[language]
    made = scorer(language, names=["novelty"])
    last = made.texts.sentences(document)[-1]
    assert last != document
    scores = made.score([last], [document], [document])
    assert values(scores) == {f"novel_{n}grams": 0 for n in (1, 2, 3)}


def test_statistics_count_whole_words_and_not_stems() -> None:
    made = scorer(names=["rouge", "novelty", "repetition"])
    scores = made.score(["running runs"], ["run"], ["run runs"])
    assert scores.rows["rouge1"] == pytest.approx([200 / 3])
    assert scores.rows["novel_1grams"] == [50]
    assert scores.rows["repeated_1grams"] == [0]


def test_statistics_have_intervals_and_want_documents() -> None:
    made = scorer(names=["length_ratio", "novelty"], bootstrap_samples=200)
    references = ["a b"] * 20
    scores = made.score(["a b", "a"] * 10, references, ["a b c"] * 20)
    assert scores.summary["length_ratio"].value == pytest.approx(0.75)
    assert 0.6 < scores.summary["length_ratio"].low < 0.75 < scores.summary["length_ratio"].high
    assert scores.summary["novel_1grams"].high == 0
    without = made.score(["a b"], ["a"])
    assert set(without.rows) == {"length_ratio"}
    with pytest.raises(ValueError, match="predictions"):
        made.score(["a"], ["a"], [])
    assert scorer(names=["length_ratio"]).lead_baseline(["a"], ["a"]) is None


def test_bertscore_stands_beside_rouge_and_takes_the_best_reference() -> None:
    settings = MetricConfig(names=["rouge", "bertscore"], bootstrap_samples=0)
    made = SummaryScorer(settings, language="en", references=["a"], tiny=True)
    alone = [made.score(["a cat"], [one]).rows["bertscore_f1"][0] for one in ("the dog", "a mat")]
    both = made.score(["a cat", "x"], [["the dog", "a mat"], ["x"]])
    assert both.rows["bertscore_f1"] == pytest.approx([max(alone), 100], abs=1e-4)
    assert list(both.summary)[4:] == ["bertscore_f1", "bertscore_precision", "bertscore_recall"]
    assert "|bert:tiny|" in made.signature


def test_a_score_is_a_record_of_all_that_is_known_of_it() -> None:
    made = scorer(names=["rouge", "repetition"], bootstrap_samples=10)
    scores = made.score(["a b a"], ["a"])
    lead = Baseline("lead1", {"rouge1": 40.0})
    records = {one.name: one for one in made.records("eval_news", scores, lead)}
    assert list(records) == [*TYPES, *(f"repeated_{n}grams" for n in (1, 2, 3))]
    assert records["rouge1"] == Score(
        set="eval_news",
        metric="rouge",
        name="rouge1",
        label="ROUGE-1",
        value=50.0,
        low=50.0,
        high=50.0,
        baseline=40.0,
        baseline_name="lead1",
        higher_is_better=True,
        maximum=100.0,
        quality=True,
    )
    repeated = records["repeated_1grams"]
    assert (repeated.metric, repeated.unit, repeated.higher_is_better) == ("repetition", "%", False)
    assert (repeated.baseline, repeated.baseline_name, repeated.quality) == (None, None, False)
    assert flat([records["rouge1"], repeated]) == pytest.approx(
        {
            "eval_news_rouge1": 50,
            "eval_news_rouge1_low": 50,
            "eval_news_rouge1_high": 50,
            "eval_news_lead1_rouge1": 40,
            "eval_news_repeated_1grams": 100 / 3,
            "eval_news_repeated_1grams_low": 100 / 3,
            "eval_news_repeated_1grams_high": 100 / 3,
        }
    )


MARKED = ["<n>", "<q>", " [X_SEP] ", " </t> <t> ", "</s> <s>", "<S_SEP>", "<eop>"]


@pytest.mark.parametrize("marker", MARKED)
def test_a_marker_between_sentences_is_a_line_end(marker: str) -> None:
    names = ["rouge", "bertscore", "length_ratio", "novelty"]
    settings = MetricConfig(names=names, bootstrap_samples=0)
    made = SummaryScorer(settings, language="en", references=["a"], tiny=True)
    plain, marked = "a cat sat\non the mat", f"a cat sat{marker}on the mat"
    documents = ["a cat sat\non the mat\nall day"]
    for prediction, references in (
        (plain, [marked]),
        (marked, [plain]),
        (marked, [marked]),
        (marked, ["x", marked]),
    ):
        for document in (documents[0], documents[0].replace("\n", marker)):
            found = made.score([prediction], [references], [document]).rows
            assert found == made.score([plain], [[plain]], documents).rows
            assert (found["rouge1"], found["rougeLsum"], found["length_ratio"]) == (
                [100],
                [100],
                [1],
            )
    lead = made.lead_baseline([documents[0].replace("\n", marker)], [marked])
    assert lead == made.lead_baseline(documents, [plain])
    assert lead is not None
    assert lead.name == "lead3"


def test_the_old_scripts_score_markers_as_words() -> None:
    made = scorer(references="labels", bootstrap_samples=0)
    # a, b and n against a and b
    assert made.score(["a<n>b"], ["a b"]).rows["rouge1"] == [80]
