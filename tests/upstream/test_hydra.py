"""Canaries: what `summexp.upstream.hydra` takes from Hydra is still there, and still does it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import hydra
import pytest
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

try:
    from summexp.upstream import hydra as upstream
    from summexp.upstream.hydra import HydraReport, Mistake
except ImportError as error:
    where = "src/summexp/upstream/hydra.py"
    pytest.fail(f"Hydra removed a name: {error}; look at {where}", pytrace=False)


def changed(what: str) -> str:
    return f"Hydra {hydra.__version__} changed {what}"


def reject(message: str) -> NoReturn:
    raise ValueError(message)


FILES = {
    "config.yaml": """\
defaults:
  - _self_
  - model: small
  - optional local: default
seed: 1
rate: 0.5
hydra: {run: {dir: out}}
""",
    "model/small.yaml": "size: 1\nname: small\n",
    "model/large.yaml": "size: 2\n",
    "experiment/text.yaml": "# @package _global_\ndefaults: [override /model: larg]\n",
    "experiment/group.yaml": "# @package _global_\ndefaults: [override /modell: large]\n",
    "experiment/twice.yaml": "# @package _global_\ndefaults: [/model: large]\n",
    "experiment/nothing.yaml": "# @package _global_\ndefaults: [/data: own]\n",
    "experiment/value.yaml": "# @package _global_\nhydra: 5\n",
    "experiment/form.yaml": "# @package _global_\ndefaults: {model: large}\n",
}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "conf"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "mine.yaml").write_text("size: 3\ndepth: 4\n", encoding="utf-8")
    (folder / "model" / "large.yaml").write_text("size: 5\n", encoding="utf-8")
    return folder


@pytest.fixture
def loader(shipped: Path, own: Path) -> Iterator[ConfigLoader]:
    with upstream.config_loader(shipped, own) as opened:
        yield opened


def compose(*overrides: str, root: str = "config") -> DictConfig:
    return hydra.compose(root, list(overrides), return_hydra_config=True)


def test_the_parser_has_the_flags_that_train_py_reads() -> None:
    args, unknown = upstream.args_parser(reject).parse_known_intermixed_args(["-m", "a=1", "--odd"])
    expected = {
        "cfg": None,
        "config_dir": None,
        "config_name": None,
        "config_path": None,
        "experimental_rerun": None,
        "help": False,
        "hydra_help": False,
        "info": None,
        "multirun": True,
        "overrides": ["a=1"],
        "package": None,
        "resolve": False,
        "run": False,
        "shell_completion": False,
    }
    assert (vars(args), unknown) == (expected, ["--odd"]), changed("its flags (get_args_parser)")


@pytest.mark.parametrize("word", ["--config-name", "--conf=a", "--cfg=nothing"])
def test_the_parser_reports_an_error_to_us(word: str) -> None:
    with pytest.raises(ValueError, match=r"expected one argument|ambiguous|invalid choice"):
        upstream.args_parser(reject).parse_known_intermixed_args([word])


@pytest.mark.parametrize(
    ("text", "count"),
    [("{a: 1}", 1), ("{1: a, true: b}", 2), ("{a: [1, 2], b: {c: 1, d: 2}, e: f(1,2)}", 3)],
)
def test_entries_are_counted(text: str, count: int) -> None:
    assert upstream.entry_count(f"key={text}") == count, changed("its grammar (OverrideLexer)")


def test_own_choices_are_weaker_than_shipped_ones(loader: ConfigLoader) -> None:
    providers = [source.provider for source in loader.get_sources()]
    assert providers == ["hydra", "main", "command-line", "schema"], changed("the search path")
    assert loader.get_group_options("model") == ["large", "mine", "small"]
    assert {**compose("model=mine").model} == {"size": 3, "depth": 4}
    assert {**compose("model=large").model} == {"size": 2}, changed("the order of the search path")


def test_the_version_base_is_set(shipped: Path) -> None:
    with upstream.config_loader(shipped, None):
        tree = compose()
    assert tree.hydra.runtime.version_base == upstream.VERSION_BASE
    assert tree.hydra.job.name == "train"


def test_hydra_is_as_before_afterwards(shipped: Path, own: Path) -> None:
    for _ in range(2):
        with upstream.config_loader(shipped, own) as loader:
            assert compose("model=large").seed == 1
        assert loader.get_group_options("model") == ["large", "mine", "small"]
        with pytest.raises(AssertionError, match="not initialized"):
            compose()


def test_the_files_of_a_job_weakest_first(loader: ConfigLoader, shipped: Path, own: Path) -> None:
    with upstream.read_once(loader):
        files = list(upstream.chosen_files(loader, "config", ["model=mine"]))
    read = [(file.name, file.folder, file.provider, file.package) for file in files]
    assert read[-2:] == [
        ("config", f"file://{shipped}", "main", ""),
        ("model/mine", f"file://{own}", "command-line", "model"),
    ], changed("compute_defaults_list or ConfigResult")
    assert {file.provider for file in files[:-2]} == {"hydra"}
    assert OmegaConf.to_container(files[-1].content) == {"size": 3, "depth": 4}
    root = OmegaConf.to_container(files[-2].content)
    assert root == {"seed": 1, "rate": 0.5, "hydra": {"run": {"dir": "out"}}}


def test_what_is_removed_from_a_file_is_absent_from_the_tree(loader: ConfigLoader) -> None:
    with upstream.read_once(loader):
        content: Any = list(upstream.chosen_files(loader, "config", []))[-1].content
        del content["name"]
        assert "name" not in compose().model, changed("how a loader reads (loader.repository)")
    with upstream.read_once(loader):
        assert compose().model.name == "small"
    assert compose().model.name == "small"


def test_each_file_is_read_once(
    loader: ConfigLoader, shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    opened = open

    def counted(file: Any, *args: Any, **kwargs: Any) -> Any:
        read.append(str(file))
        return opened(file, *args, **kwargs)

    monkeypatch.setattr("builtins.open", counted)
    with upstream.read_once(loader):
        list(upstream.chosen_files(loader, "config", ["seed=2"]))
        compose("seed=2")
    files = [str(shipped / "config.yaml"), str(shipped / "model" / "small.yaml")]
    assert sorted(one for one in read if one.endswith(".yaml")) == files, changed(
        "how a loader reads (loader.repository)"
    )


def test_a_composed_job_runs_as_one_of_hydra_main(
    loader: ConfigLoader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logging.config.dictConfig", lambda _config: None)
    tree = compose("seed=3", "+hydra.callbacks.seen._target_=hydra.experimental.callback.Callback")

    def task(config: DictConfig) -> int:
        assert "hydra" not in config
        assert HydraConfig.get().runtime.output_dir == str(tmp_path / "out")
        assert HydraConfig.get().mode.name == "RUN"
        return int(config.seed)

    done = upstream.run_composed(tree, loader, task)
    assert done.return_value == 3, changed("run_job")
    saved = {path.name for path in (tmp_path / "out" / ".hydra").iterdir()}
    assert saved == {"config.yaml", "hydra.yaml", "overrides.yaml"}


def test_callbacks_are_called(shipped: Path) -> None:
    """In a process of its own, since the callback is a module of the user's."""
    (shipped.parent / "mine.py").write_text(
        "class Seen:\n    def __getattr__(self, name):\n        return lambda **_: print(name)\n",
        encoding="utf-8",
    )
    code = (
        "import hydra, sys; from pathlib import Path; from summexp.upstream import hydra as up\n"
        "with up.config_loader(Path('conf').resolve(), None) as loader:\n"
        "    words = ['+hydra.callbacks.seen._target_=mine.Seen']\n"
        "    tree = hydra.compose('config', words, return_hydra_config=True)\n"
        "up.run_composed(tree, loader, lambda _: print('task'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=shipped.parent, capture_output=True, text=True, check=True
    )
    called = [line for line in done.stdout.split() if line != "on_compose_config"]
    assert called == ["on_run_start", "on_job_start", "task", "on_job_end", "on_run_end"], changed(
        "its callbacks (hydra._internal.callbacks)"
    )


@pytest.mark.usefixtures("loader")
def test_launcher_and_sweeper_have_the_prefix() -> None:
    node = compose().hydra
    targets = [node.launcher._target_, node.sweeper._target_]
    assert [one for one in targets if not one.startswith(upstream.CORE_PLUGINS)] == [], changed(
        "where its launcher and sweeper are"
    )


def mistaken(run: Callable[[], object]) -> HydraReport:
    """What is read from the error that `run` raises."""
    with pytest.raises(upstream.HYDRA_ERRORS) as caught:
        run()
    return upstream.read_error(caught.value)


@pytest.mark.parametrize(
    ("words", "report"),
    [
        (["model=larg"], HydraReport(Mistake.NO_CHOICE, "model", "larg", "config")),
        (
            ["experiment=nothing"],
            HydraReport(Mistake.NO_CHOICE, "data", "own", "experiment/nothing"),
        ),
        (["experiment=text"], HydraReport(Mistake.NO_CHOICE, "model", "larg", "config")),
        (["experiment=group"], HydraReport(Mistake.NO_GROUP, "modell", "", "experiment/group")),
        (["experiment=twice"], HydraReport(Mistake.CHOSEN_TWICE, "model", "", None)),
        (["experiment=value"], HydraReport(Mistake.NOT_KEYS, "", "", "experiment/value")),
        (["experiment=form"], HydraReport(None, "", "", "experiment/form")),
        (["+seed=2"], HydraReport(Mistake.EXISTS, "", "seed", None)),
    ],
    ids=lambda one: one[0] if isinstance(one, list) else "",
)
@pytest.mark.usefixtures("loader")
def test_a_mistake_is_recognized_by_its_text(words: list[str], report: HydraReport) -> None:
    words = [f"+{word}" if word.startswith("experiment") else word for word in words]
    assert mistaken(lambda: compose(*words)) == report, changed("the text of an error (Mistake)")


@pytest.mark.usefixtures("loader")
def test_a_missing_root_is_recognized_by_its_text() -> None:
    report = mistaken(lambda: compose(root="absent"))
    assert report == HydraReport(Mistake.NO_ROOT, "", "absent", None), changed(
        "the text of an error"
    )


@pytest.mark.usefixtures("loader")
def test_only_informative_lines_are_left() -> None:
    with pytest.raises(upstream.HYDRA_ERRORS) as caught:
        compose("seeds=2")
    lines = list(upstream.informative_lines(caught.value))
    # 1.4 adds the nearest key to the second line
    assert [line.partition(". Did you mean")[0] for line in lines] == [
        "Could not override 'seeds'.",
        "Key 'seeds' is not in struct",
    ], changed("the lines of an error that advise")


def test_omegaconf_adds_lines_on_its_own_types() -> None:
    with pytest.raises(OmegaConfBaseException) as caught:
        OmegaConf.create({"a": "${b}"})["a"]
    assert list(upstream.informative_lines(caught.value)) == ["Interpolation key 'b' not found"], (
        "OmegaConf changed the lines of an error"
    )


def test_the_parser_of_overrides_gives_the_place_of_what_it_converts() -> None:
    for word, expected in {
        "a=1e4": 'a="1e4"',
        "a=x1e4": "a=x1e4",
        "+a.b=[1, null,x]": '+a.b=["1", "null",x]',
        "a={1: 2}": 'a={1: "2"}',
        "a=1,choice": 'a="1",choice',
        "a=choice(true,null)": 'a=choice("true",null)',
        "a=glob(1)": "a=glob(1)",
        "a=[": "a=[",
    }.items():
        assert upstream.quoted_primitives(word) == expected, changed("the grammar of overrides")


def test_files_are_read_by_the_repository_that_is_edited(
    shipped: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = upstream.ConfigRepository.load_config
    monkeypatch.setattr(upstream.ConfigRepository, "load_config", read)
    seen = {}

    def edit(content: Any, text: str, package: str) -> None:
        seen[package] = text
        if "size" in content:
            content["size"] = 9

    upstream.edit_files(edit)
    with upstream.config_loader(shipped, own) as opened, upstream.read_once(opened):
        tree = hydra.compose("config")
    assert tree.model.size == 9, changed("the reading of files")
    assert seen == {"": FILES["config.yaml"], "model": FILES["model/small.yaml"]}
