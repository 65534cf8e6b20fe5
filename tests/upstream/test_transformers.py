"""Whether transformers still has what `summexp.upstream.transformers` leans on."""

from __future__ import annotations

import io
import logging
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.utils import FullyShardedDataParallelPlugin
from safetensors.torch import load_file
from tests.engines.jobs import job, training
from tests.modeling.tiny_models import ARCHITECTURES, config, make
from transformers import (
    AutoModelForSeq2SeqLM,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    M2M100Tokenizer,
    MBart50Tokenizer,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerCallback,
)
from transformers.utils.logging import warning_once

from summexp.upstream import transformers as border


def test_the_kind_of_an_architecture_follows_from_its_name() -> None:
    assert {"t5", "bart", "led", "pegasus", "m2m_100"} <= border.ENCODER_DECODERS
    assert {"gpt2", "llama", "qwen3", "gptj"} <= border.DECODER_ONLY
    assert not border.DECODER_ONLY & {"bert", "roberta", "bart", "t5"}
    assert not border.DECODER_ONLY & border.ENCODER_DECODERS


def test_weights_that_no_file_holds() -> None:
    model = make(config("marian")).model
    computed = {f"model.{side}.embed_positions.weight" for side in ("encoder", "decoder")}
    assert border.unsaved_weights(model) == computed
    assert border.unsaved_weights(make(config("t5")).model) == frozenset()


def test_a_model_is_saved_under_the_names_of_memory(tmp_path: Path) -> None:
    model = make(config("t5gemma2")).model
    model.save_pretrained(tmp_path / "theirs")
    with border.saving_names_of_memory(model):
        model.save_pretrained(tmp_path / "memory")
    names = {
        folder: {*load_file(tmp_path / folder / "model.safetensors")}
        for folder in ("theirs", "memory")
    }
    assert names["memory"] <= {*model.state_dict()}
    assert not names["theirs"] <= {*model.state_dict()}
    one, other = (
        AutoModelForSeq2SeqLM.from_pretrained(tmp_path / folder).state_dict() for folder in names
    )
    assert all(torch.equal(one[name], other[name]) for name in model.state_dict())
    model.save_pretrained(tmp_path / "again")
    assert {*load_file(tmp_path / "again" / "model.safetensors")} == names["theirs"]


def test_the_layers_of_gpt2_are_transposed() -> None:
    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=16))
    layer = model.transformer.h[0].attn.c_attn
    assert isinstance(layer, border.TransposedLinear)
    assert layer.weight.shape == (8, 24)


def test_a_model_is_moved_itself() -> None:
    model = make(config("t5")).model
    moved = border.to_device(model, "meta")
    assert moved is model
    assert {weight.device.type for weight in model.parameters()} == {"meta"}


def test_the_folder_of_a_training_is_a_path(tmp_path: Path) -> None:
    assert border.run_folder(Seq2SeqTrainingArguments(output_dir=str(tmp_path))) == tmp_path


def test_special_tokens_are_aligned_as_the_trainer_does_before_it_trains(tmp_path: Path) -> None:
    one = job(tmp_path, training=training(max_steps=1))
    tokens = {"pad_token_id": 7, "eos_token_id": 9}

    def changed() -> list[Any]:
        places = (one.model.config, one.model.generation_config)
        return [getattr(place, name) for place in places for name in tokens]

    def change() -> None:
        for place in (one.model.config, one.model.generation_config):
            for name, number in tokens.items():
                setattr(place, name, number)

    change()
    arguments = Seq2SeqTrainingArguments(
        str(tmp_path), max_steps=1, report_to="none", save_strategy="no", use_cpu=True
    )
    Seq2SeqTrainer(
        one.model,
        arguments,
        train_dataset=one.rows,
        data_collator=one.collate,
        processing_class=one.tokenizer,
    ).train()
    theirs = changed()
    assert theirs != [7, 9, 7, 9], "the Trainer aligns no special tokens any more"
    change()
    border.align_special_tokens(one.model, one.tokenizer)
    assert changed() == theirs


def test_multilingual_tokenizers_list_their_languages(tmp_path: Path) -> None:
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4}
    mbart = MBart50Tokenizer(src_lang="en_XX", tgt_lang="ko_KR")
    ids = border.language_ids(mbart)
    assert ids["ko_KR"] == mbart.convert_tokens_to_ids("ko_KR")
    assert border.language_ids(make(config("t5")).tokenizer) == {}
    model, words = tmp_path / "model.spm", tmp_path / "vocab.json"
    train_sentencepiece(model)
    words.write_text(str(vocabulary).replace("'", '"'))
    m2m = M2M100Tokenizer(str(words), str(model), language_codes="m2m100")
    marks = border.language_marks(m2m)
    assert marks["__ko__"] == m2m.convert_tokens_to_ids("__ko__")
    assert list(marks.values()) == list(range(len(vocabulary), len(vocabulary) + len(marks)))
    assert border.language_marks(make(config("t5")).tokenizer) == {}


def train_sentencepiece(path: Path) -> None:
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c d e f g"] * 9),
        model_writer=written,
        vocab_size=12,
        model_type="bpe",
        minloglevel=2,
    )
    path.write_bytes(written.getvalue())


def test_a_generation_config_of_its_own_is_marked_so() -> None:
    derived = GenerationConfig.from_model_config(make(config("t5")).model.config)
    name = "_from_model_config"
    assert derived.to_dict()[name] is True, "generation configs are not marked any more"
    border.detach_from_model_config(derived)
    assert not derived.to_dict()[name]


def test_gpt2_warns_of_a_missing_mask_in_a_summary_that_has_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    torch.manual_seed(0)
    shape = GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=16, pad_token_id=0, eos_token_id=0)
    model = GPT2LMHeadModel(shape).eval()
    logger = logging.getLogger("transformers.modeling_utils")
    before, logger.filters = logger.filters, []
    root = logging.getLogger("transformers")
    propagates, root.propagate = root.propagate, True
    padded = torch.tensor([[5, 6, 0]])
    warning_once.cache_clear()
    try:
        model(input_ids=padded)
        shown = " ".join(caplog.messages)
        assert "passing in an `attention_mask`" in shown, "transformers warns in other words"
        caplog.clear()
        border.silence_mask_warning()
        warning_once.cache_clear()
        model(input_ids=padded)
        assert caplog.messages == []
    finally:
        logger.filters, root.propagate = before, propagates


def test_a_process_that_sees_several_gpus_uses_one(tmp_path: Path) -> None:
    args = Seq2SeqTrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
    # What transformers sets where torch finds eight, and no process group.
    args._n_gpu = 8
    assert args.n_gpu == 8, "transformers keeps the number of GPUs elsewhere"
    assert args.train_batch_size == 8 * args.per_device_train_batch_size
    border.use_one_gpu(args)
    assert args.n_gpu == 1
    assert args.train_batch_size == args.per_device_train_batch_size


def test_trackers_are_those_of_the_trainer() -> None:
    (tensorboard,) = border.tracker_callbacks(["tensorboard"])
    assert isinstance(tensorboard, TrainerCallback)
    assert type(tensorboard).__name__ == "TensorBoardCallback"
    assert border.tracker_callbacks([]) == []


class Names(torch.nn.Module):
    """A module under each name that may have a part in weight decay."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("norm", "final_norm", "rmsnorm", "layernorm", "dense", "normal", "embed"):
            setattr(self, name, torch.nn.Linear(2, 2))
        self.named_otherwise = torch.nn.LayerNorm(2)
        self.bias_of_positions = torch.nn.Parameter(torch.zeros(2))
        self.scale = torch.nn.Parameter(torch.zeros(2))


def test_biases_and_norms_do_not_decay() -> None:
    decaying = {"dense.weight", "normal.weight", "embed.weight", "scale"}
    assert border.decayed_weights(Names()) == decaying


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_the_weights_that_decay_are_those_of_a_trainer(model_type: str, tmp_path: Path) -> None:
    model = make(config(model_type)).model
    args = Seq2SeqTrainingArguments(
        str(tmp_path), weight_decay=0.3, use_cpu=True, report_to="none", optim="adamw_torch"
    )
    groups = Seq2SeqTrainer(model, args).create_optimizer().param_groups
    decaying = {id(one) for group in groups if group["weight_decay"] for one in group["params"]}
    trained = [pair for pair in model.named_parameters() if pair[1].requires_grad]
    found = border.decayed_weights(model)
    assert {name for name, weight in trained if id(weight) in decaying} == found & dict(
        trained
    ).keys()


def test_the_speed_is_logged_under_the_names_of_the_trainer() -> None:
    found = border.speed_metrics(time.time() - 10, 40, 20)
    assert set(found) == {"train_runtime", "train_samples_per_second", "train_steps_per_second"}
    assert found["train_samples_per_second"] == pytest.approx(4, rel=0.1)
    assert found["train_steps_per_second"] == pytest.approx(2, rel=0.1)


def test_the_random_state_of_a_checkpoint_is_read_without_running_code(tmp_path: Path) -> None:
    file = tmp_path / "rng_state.pth"
    torch.save({"numpy": np.random.RandomState(1).get_state()}, file)
    with border.allow_random_state():
        state = torch.load(file, weights_only=True)["numpy"]
    restored = np.random.RandomState(2)
    restored.set_state(state)
    assert restored.randint(1000) == np.random.RandomState(1).randint(1000)


def test_options_of_fsdp_are_where_the_plugin_takes_them_from(tmp_path: Path) -> None:
    args = Seq2SeqTrainingArguments(
        str(tmp_path),
        fsdp=True,
        fsdp_config={"reshard_after_forward": False},
        use_cpu=True,
        report_to="none",
    )
    for kind in ("SHARDED_STATE_DICT", "FULL_STATE_DICT"):
        border.set_fsdp_state_dict(args, kind)  # type: ignore[arg-type]
        plugin = FullyShardedDataParallelPlugin(**border.fsdp_options(args))
        assert plugin.state_dict_type.name == kind
    assert plugin.reshard_after_forward is False


def test_each_auto_of_a_deepspeed_config_is_filled_in(tmp_path: Path) -> None:
    pytest.importorskip("deepspeed")
    chosen = {
        "gradient_clipping": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "zero_optimization": {"stage": 2, "reduce_bucket_size": "auto"},
    }
    args = Seq2SeqTrainingArguments(
        str(tmp_path), deepspeed=chosen, max_grad_norm=0.5, use_cpu=True, report_to="none"
    )
    before = border.deepspeed_config(args)
    model = make(config("t5")).model
    plugin = border.deepspeed_plugin(args, model)
    filled = border.deepspeed_config(args)
    assert filled is before is plugin.hf_ds_config.config
    assert filled["gradient_clipping"] == 0.5
    assert filled["train_micro_batch_size_per_gpu"] == 8
    width = model.config.hidden_size
    assert filled["zero_optimization"]["reduce_bucket_size"] == width * width
    assert not re.search("auto", str(filled))
