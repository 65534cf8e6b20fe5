# ruff: noqa: RUF001 -- the wide signs of an input method are what is tested here
"""Wrong commands and wrong files, as users type and have them, and the folder that they go with.

`{F}` in a command stands for two good files.
"""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

GOOD_FILES = "data=custom_csv data.train_file=train.csv data.validation_file=dev.csv"

SETS = "data=custom_csv data.train_file=train.csv 'data.validation_files"

MODEL = "model=custom model.name_or_path="

MISTAKES: list[tuple[str, str | None]] = [
    # a choice, misspelled or in the wrong place
    ("model=t5_smal", "model"),
    ("model=t5-small", "model"),
    ("model=bart", "model"),
    ("modle=t5_small", "modle"),
    ("data=cnn_dailymal", "data"),
    ("data=custom_cvs data.train_file=train.csv data.validation_file=dev.csv", "data"),
    ("dataset=xsum", "dataset"),
    ("hardware=cuda", "hardware"),
    ("hardware=ddp2", "hardware"),
    ("metric=rouge_txt", "metric"),
    ("generation=beam", "generation"),
    ("engine=acelerate", "engine"),
    ("tracking=tensorbord", "tracking"),
    ("debug=tinny", "debug"),
    ("peft=lorra", "peft"),
    ("experiment=hf_party", None),
    ("hydra/launcher=basik", "hydra/launcher"),
    ("model=t5_small model=bart_base", "model"),
    # a key
    ("training.learnin_rate=1e-4", "training.learnin_rate"),
    ("learning_rate=1e-4", "learning_rate"),
    ("max_source_length=512", "max_source_length"),
    ("num_beams=4", "num_beams"),
    ("batch_size=4", "batch_size"),
    ("epochs=3", "epochs"),
    ("training.batch_size=8", "training.batch_size"),
    ("training.epochs=2", "training.epochs"),
    ("training.lr=1e-4", "training.lr"),
    ("output-dir=out", "output-dir"),
    ("data.max_train_sample=10", "data.max_train_sample"),
    ("metric.name=rouge", "metric.name"),
    ("generation.num_beam=2", "generation.num_beam"),
    ("training.warmup_ratio=0.1", "training.warmup_ratio"),
    ("training.no_cuda=true", "training.no_cuda"),
    ("training.adafactor=true", "training.adafactor"),
    ("training.seed=1", "training.seed"),
    ("training.output_dir=out", "training.output_dir"),
    ("training.report_to=tensorboard", "training.report_to"),
    ("training.generation_num_beams=4", "training.generation_num_beams"),
    ("training.use_cpu=true", "training.use_cpu"),
    ("hydra.run.dir=out", "hydra.run.dir"),
    ("training.batch_eval_metrics=true", "training.batch_eval_metrics"),
    # a flag of the old scripts, or of Hydra's
    ("--learning_rate 1e-4", None),
    ("--learning_rate=1e-4", None),
    ("--num_train_epochs 2", None),
    ("--output_dir=out", None),
    ("--hepl", None),
    ("--resolve", None),
    ("--config-dir absent", None),
    ("--config-name confg", None),
    # a plus, a tilde, quotes
    ("+training.learning_rate=1e-4", "training.learning_rate"),
    ("++training.max_steps=3", "training.max_steps"),
    ("+model=t5_small", "model"),
    ("~training.learning_rate", "training.learning_rate"),
    ("training.max_steps", "training.max_steps"),
    ("model.source_prefix=a,b", "model.source_prefix"),
    ("seed=1,2", "seed"),
    ("tracking.tags=a,b", "tracking.tags"),
    ("'tracking.project=a(b)'", "tracking.project"),
    # as an input method, an editor or a web page writes it
    ("model＝t5_tiny", None),
    ("metric.names=[rouge，novelty]", None),
    ("{F}　training.max_steps=2", None),
    ("debug=ｔｉｎｙ", "debug"),
    ("—m seed=1,2", None),
    ("model = t5_tiny", None),
    ("model= t5_tiny", None),
    (f"{MODEL}https://huggingface.co/google-t5/t5-small", "model.name_or_path"),
    ("data.name=https://huggingface.co/datasets/knkarthick/samsum", "data.name"),
    # what is no choice, and names that others give
    ("model=./models/good", "model"),
    ("data=train.csv", "data"),
    ("model.name=google-t5/t5-small", "model.name"),
    ("peft=lora peft.r=8", "peft.r"),
    ("peft=lora peft.target_modules=q,v", "peft.target_modules"),
    ("device=cpu", "device"),
    ("training.logging_dir=logs", "training.logging_dir"),
    ("training.optim=AdamW", "training.optim"),
    ("--overwrite_output_dir", None),
    # a value
    ("training.max_steps=abc", "training.max_steps"),
    ("training.max_steps=1e3", "training.max_steps"),
    ("training.max_steps=0", "training.max_steps"),
    ("training.max_steps=-5", "training.max_steps"),
    ("training.fp16=maybe", "training.fp16"),
    ("training.save_strategy=step", "training.save_strategy"),
    ("training.lr_scheduler_type=cosin", "training.lr_scheduler_type"),
    ("training.eval_strategy=false", "training.eval_strategy"),
    ("training.optim=adam", "training.optim"),
    ("model.freeze=encoder", "model.freeze"),
    ("metric.names=[rouge,novelti]", "metric.names"),
    ("metric.names=[rouge,evaluate:./nowhere]", "metric.names"),
    ("metric.evaluate_kwargs.sacrebleu.lowercase=true", "metric.evaluate_kwargs.sacrebleu"),
    ("data.language=english", "data.language"),
    ("data.text_column=", "data.text_column"),
    ("objective=eval_rougel", "objective"),
    ("objective=rouge1", "objective"),
    ("metric=rouge_text training.metric_for_best_model=rouge_L", "training.metric_for_best_model"),
    ("training.metric_for_best_model=gen_len", "training.greater_is_better"),
    ("training.load_best_model_at_end=true training.do_eval=false", None),
    ("engine.early_stopping_patience=2 training.eval_strategy=no", None),
    ("metric.bertscore_layer=3", "metric.bertscore_layer"),
    ("peft.rank=4", "peft.rank"),
    ("data.chunk_overlap=9", "data.chunk_overlap"),
    ("training.do_train=false training.do_eval=false", "training.do_train"),
    ("engine=accelerate training.neftune_noise_alpha=5", "training.neftune_noise_alpha"),
    ("engine.sampler=upsteam", "engine.sampler"),
    # a number outside its range
    ("seed=-1", "seed"),
    ("seed=4294967296", "seed"),
    ("seed=true", "seed"),
    ("training.data_seed=-1", "training.data_seed"),
    ("training.per_device_train_batch_size=0", "training.per_device_train_batch_size"),
    ("training.per_device_eval_batch_size=-1", "training.per_device_eval_batch_size"),
    ("training.gradient_accumulation_steps=0", "training.gradient_accumulation_steps"),
    ("training.num_train_epochs=-1", "training.num_train_epochs"),
    ("training.learning_rate=-1e-4", "training.learning_rate"),
    ("training.learning_rate=nan", "training.learning_rate"),
    ("training.weight_decay=-0.1", "training.weight_decay"),
    ("training.adam_beta1=1.5", "training.adam_beta1"),
    ("training.label_smoothing_factor=2", "training.label_smoothing_factor"),
    ("training.save_steps=-1", "training.save_steps"),
    ("training.dataloader_num_workers=-1", "training.dataloader_num_workers"),
    ("generation.num_beams=0", "generation.num_beams"),
    ("generation.temperature=0", "generation.temperature"),
    ("generation.max_length=0", "generation.max_length"),
    ("generation.top_p=1.5", "generation.top_p"),
    ("generation.temperature=0.7", "generation.temperature"),
    ("generation.num_beams=1 generation.length_penalty=2", "generation.length_penalty"),
    ("generation.max_length=9 generation.max_new_tokens=9", "generation.max_length"),
    ("generation.min_length=90 generation.max_length=9", "generation.min_length"),
    ("data.max_source_length=0", "data.max_source_length"),
    ("data.max_train_samples=-1", "data.max_train_samples"),
    ("hardware.processes=0", "hardware.processes"),
    ("metric.confidence=95", "metric.confidence"),
    ("peft=lora peft.rank=0", "peft.rank"),
    ("peft=lora peft.dropout=1", "peft.dropout"),
    # data
    ("data=custom_csv", "data.name"),
    ("data.train_file=train.csv", "data.train_file"),
    ("data=custom_csv data.train_file=trian.csv data.validation_file=dev.csv", "data.train_file"),
    ("data=custom_csv data.train_file=train.csv", "data.validation_file"),
    ("data=custom_csv data.test_file=test.csv", "data.test_file"),
    ("{F} training.do_predict=true", "data.test_file"),
    ("{F} data.text_column=documnt", None),
    ("{F} data.summary_column=sumary", None),
    ("{F} data.text_column=document data.summary_column=document", "data.summary_column"),
    ("{F} data.validation_split=dev", "data.validation_split"),
    ("{F} data.config_name=3.0.0", "data.config_name"),
    ("{F} data.validation_files.dev=dev.csv", "data.validation_files"),
    ("{F} data.validation_file=null data.validation_files=dev.csv", None),
    ("data=custom_csv data.train_file=~nobody/x.csv data.validation_file=dev.csv", None),
    ("data=custom_csv data.train_file=corpus data.validation_file=dev.csv", "data.train_file"),
    ("data=custom_csv data.train_file=notes.txt data.validation_file=dev.csv", "data.train_file"),
    ("data=custom_csv data.train_file=empty.csv data.validation_file=dev.csv", "data.train_file"),
    ("data=custom_csv data.train_file=header.csv data.validation_file=dev.csv", "data.train_file"),
    ("data=custom_csv data.train_file=cut.csv.gz data.validation_file=dev.csv", "data.train_file"),
    ("data=custom_csv data.train_file=bad.jsonl data.validation_file=dev.csv", "data.train_file"),
    ("data=custom_csv data.train_file=bad.parquet data.validation_file=dev.csv", "data.train_file"),
    ("data=custom_csv data.train_file=pairs.csv data.validation_file=pairs.csv", None),
    ("data.name=train.csv", "data.name"),
    ("data.name=./corpsu", "data.name"),
    ("data.name=~nobody/x", "data.name"),
    ("data.name=a/b/c", "data.name"),
    ("data.validation_split=dev", "data.validation_split"),
    ("data.text_column=article", "data.text_column"),
    ("data.revision=main", "data.revision"),
    ("data.streaming=true training.max_steps=-1", "data.streaming"),
    # a model's folder
    ("model=custom", "model.name_or_path"),
    (f"{MODEL}./models/god", "model.name_or_path"),
    (f"{MODEL}./models/good/config.json", "model.name_or_path"),
    (f"{MODEL}./models/no_config", "model.name_or_path"),
    (f"{MODEL}./models/no_type", "model.name_or_path"),
    (f"{MODEL}./models/no_weights", "model.name_or_path"),
    (f"{MODEL}./models/no_tokenizer", "model.name_or_path"),
    (f"{MODEL}./models/no_shard", "model.name_or_path"),
    (f"{MODEL}./models/cut", "model.name_or_path"),
    (f"{MODEL}./models/empty", "model.name_or_path"),
    (f"{MODEL}./models/pointer", "model.name_or_path"),
    (f"{MODEL}./models/page", "model.name_or_path"),
    (f"{MODEL}./models/cut_bin", "model.name_or_path"),
    (f"{MODEL}./models/cut_tokenizer", "model.name_or_path"),
    (f"{MODEL}./models/cut_config", "model.name_or_path"),
    (f"{MODEL}./models/good model.tokenizer_name=./models/no_tokenizer", "model.tokenizer_name"),
    (f"{MODEL}./models", "model.name_or_path"),
    (f"{MODEL}'my model'", "model.name_or_path"),
    ("model=t5_small offline=true model.cache_dir=absent", "model.name_or_path"),
    # a folder to write to, and one to read from
    ("output_dir=file", "output_dir"),
    ("output_dir=file/below", "output_dir"),
    (f"output_dir={'a' * 300}", "output_dir"),
    ("output_dir=taken", "output_dir"),
    ("output_dir=locked", "output_dir"),
    ("output_dir=s3://bucket/out", "output_dir"),
    ("-m seed=1,2 output_dir=file", "output_dir"),
    ("training.resume_from_checkpoint=absent", "training.resume_from_checkpoint"),
    ("training.resume_from_checkpoint=true", "training.resume_from_checkpoint"),
    ("training.resume_from_checkpoint=models/good", "training.resume_from_checkpoint"),
    ("training.push_to_hub=true", "training.hub_model_id"),
    ("offline=true training.push_to_hub=true output_dir=mine", "training.push_to_hub"),
    # this machine
    ("hardware=gpu", "hardware.backend"),
    ("hardware=ddp8_fp16", None),
    ("hardware=mps", "hardware.backend"),
    ("hardware=cpu training.fp16=true", "training.fp16"),
    ("hardware=cpu hardware.nodes=2", "hardware.nodes"),
    ("hardware=fsdp8_bf16 hardware.processes=1", None),
    # found later, and last so that the shares that each test takes stay what they were
    ("data.references_column=references", "data.references_column"),
    ("data.train_split=train[:90%]", "data.train_split"),
    ("data=xsum data.streaming=true training.max_steps=9 offline=true", "data.streaming"),
    (f"{SETS}={{1: dev.csv, true: test.csv}}'", "data.validation_files"),
    (f"{SETS}={{a: dev.csv, a: test.csv}}'", "data.validation_files"),
    (f"{SETS}={{null: dev.csv}}'", "data.validation_files"),
    ("output_dir=/proc/x", "output_dir"),
    ("--config-dir ''", None),
]
"""A command, and the key of its one problem; None where the problem has no key, or is not alone."""


def make_folder(folder: Path) -> None:
    """Write the files and folders that the commands name into `folder`."""
    rows = [{"document": f"A long text number {n}. It goes on.", "summary": f"Text {n}."}
            for n in range(8)]  # fmt: skip
    for name in ("train.csv", "dev.csv", "test.csv"):
        _csv(folder / name, rows)
    _csv(
        folder / "pairs.csv", [{"source": one["document"], "short": one["summary"]} for one in rows]
    )
    (folder / "notes.txt").write_text("One text.\nAnother.\n")
    (folder / "empty.csv").touch()
    (folder / "header.csv").write_text("document,summary\n")
    whole = gzip.compress((folder / "train.csv").read_bytes())
    (folder / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "bad.jsonl").write_text('{"document": "a", "summary": "b"}\n{"document": "a", "sum')
    (folder / "bad.parquet").write_bytes(b"PAR1 and then nothing")
    (folder / "corpus").mkdir()
    _csv(folder / "corpus" / "train.csv", rows)
    (folder / "file").touch()
    (folder / "taken").mkdir()
    (folder / "taken" / "model.safetensors").touch()
    (folder / "locked").mkdir()
    for name in ("good", *spoilt_models()):
        make_model(folder / "models" / name)
    for name, spoil in spoilt_models().items():
        spoil(folder / "models" / name)


def _csv(path: Path, rows: list[dict[str, str]]) -> None:
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


def make_model(folder: Path) -> None:
    folder.mkdir(parents=True)
    config = {"model_type": "t5", "is_encoder_decoder": True, "architectures": ["T5Model"]}
    _json(folder / "config.json", config)
    _safetensors(folder / "model.safetensors")
    _json(folder / "tokenizer.json", {"version": "1.0", "model": {"type": "BPE", "vocab": {}}})


def _json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def _safetensors(path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))


def _shards(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"w": "model-00001-of-00002.safetensors", "v": "model-00002-of-00002.safetensors"}
    _json(folder / "model.safetensors.index.json", {"weight_map": shards})


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _cut_bin(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04 and no directory at the end")


def spoilt_models() -> dict[str, Callable[[Path], object]]:
    """Return what spoils a good folder, name of the mistake to the deed."""
    return {
        "no_config": lambda folder: (folder / "config.json").unlink(),
        "no_type": lambda folder: _json(folder / "config.json", {"d_model": 8}),
        "no_weights": lambda folder: (folder / "model.safetensors").unlink(),
        "no_tokenizer": lambda folder: (folder / "tokenizer.json").unlink(),
        "no_shard": _shards,
        "cut": lambda folder: _cut(folder / "model.safetensors"),
        "empty": lambda folder: (folder / "model.safetensors").write_bytes(b""),
        "pointer": lambda folder: (folder / "model.safetensors").write_text(
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
        ),
        "page": lambda folder: (folder / "model.safetensors").write_text("<!DOCTYPE html><html>"),
        "cut_bin": _cut_bin,
        "cut_tokenizer": lambda folder: _cut(folder / "tokenizer.json"),
        "cut_config": lambda folder: _cut(folder / "config.json"),
    }
