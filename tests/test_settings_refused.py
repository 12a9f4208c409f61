"""What is wrong with a configuration, all at once; and where it comes from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gpu_coldstart.config.installed import json_schema
from gpu_coldstart.config.parameters import Config, SegmentsConfig, flat
from gpu_coldstart.config.resolve import from_toml, resolve, to_toml
from gpu_coldstart.errors import UserError

# -- unknown keys and files --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("k", r"did you mean evaluation\.k or segments\.k\?"),
        ("segment.k", r"did you mean segments\.k"),
        ("segments.iteration", r"did you mean segments\.iterations"),
        ("momentun", r"did you mean mlp\.momentum\?"),
        ("n_warm", r"did you mean world\.n_warm\?"),
        ("frobnicate", "see config.toml of any run"),
        ("space", r"did you mean spaces\?"),
        ("", "see config.toml of any run"),
    ],
)
def test_an_unknown_key_comes_with_a_hint(key: str, hint: str) -> None:
    with pytest.raises(UserError, match=f"setting '{key}' is not known: {hint}"):
        resolve(settings={key: "1"})


def test_an_unknown_key_in_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[segments]\nkk = 5\n[nonsense]\nx = 1\n")
    with pytest.raises(UserError, match=r"'segments\.kk' is not known"):
        resolve(files=[path])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            "[segments.k]\nx = 5",
            "a section 'segments.k' within a section: write its values under [",
        ),
        ("[segments.k]", "a section 'segments.k' within a section"),
        ("[a.b.c.d]\nx = 5", "a section 'a.b' within a section"),
        ("[world]\nx = {}", "a section 'world.x' within a section"),
        ("[segments]\nk.x = 5", "a section 'segments.k' within a section"),
        ("[nothing]", "'nothing' is not known"),
        ("nothing = {}", "'nothing' is not known"),
        (
            "[[segments]]\nk = 5",
            "'segments' is a section, not a setting: set one of its keys, such",
        ),
        ("segments = 5", "'segments' is a section, not a setting"),
        ("[seed]", "'seed' is {}, but a whole number"),
        ("seed.x = 5", "'seed.x' is not known"),
        ("[mlp]\nhidden = [{x = 1}]", "'mlp.hidden' needs a list of whole numbers"),
        ('"\\ufeffseed" = 5', "'\\ufeffseed' is not known: did you mean seed?"),
    ],
)
def test_nothing_in_a_file_is_ignored(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"{content}\n")
    with pytest.raises(UserError) as refusal:
        resolve(files=[path])
    assert says in str(refusal.value)


def test_an_empty_section_sets_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[segments]\n[world]\n")
    assert resolve(files=[path]) == resolve()


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("dataset", "syntetic", "did you mean synthetic?"),
        ("preset", "smal", "did you mean small?"),
        ("spaces", "tt-svdd", "did you mean tt-svd?"),
        ("model", "mpl", "did you mean mlp?"),
        ("strategies.names", "semmi", "did you mean semi?"),
        ("evaluation.protocol", "papr", "did you mean paper?"),
        ("mlp.optimizer", "adm", "did you mean adam?"),
        ("mlp.optimizer", "lion", "use one of adam, sgd"),
    ],
)
def test_a_wrong_word_comes_with_the_nearest(key: str, value: str, hint: str) -> None:
    with pytest.raises(UserError) as refusal:
        resolve(settings={key: value})
    assert str(refusal.value) == f"setting '{key}' is '{value}': {hint}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config file .*none\.toml cannot be read"):
        from_toml(tmp_path / "none.toml")
    with pytest.raises(UserError, match="cannot be read"):
        from_toml(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        *(b"seed = ", b"\xff\xfe", b"seed: 5", b"seed = 1\nseed = 2"),
        *(b"seed = " + b"9" * 5000, b"seed = " + b"[" * 5000),
    ],
    ids=["empty", "not UTF-8", "YAML", "twice", "digits", "brackets"],
)
def test_a_file_that_is_no_toml_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"config file .*mine\.toml is not TOML"):
        resolve(files=[path])


# -- all at once, and from Python ----------------------------------------------------------------


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('preset = "huge"\n[segments]\nk = -3\n[mlp]\nhiden = [3]\n')
    settings = {"world.n_tracks": 10, "evaluation.k": "5,5", "mlp.optimizer": "lion"}
    with pytest.raises(UserError) as refusal:
        resolve(files=[path], settings=settings)
    start, _, listed = str(refusal.value).partition(": ")
    assert start == "6 settings are wrong"
    sentences = listed.split("; ")
    assert len(sentences) == 6
    keys = ("mlp.hiden", "preset", "segments.k", "world.n_tracks", "evaluation.k", "mlp.optimizer")
    for key in keys:
        assert sum(key in sentence for sentence in sentences) == 1, key
        in_the_file = any(key in each and each.endswith(f"(in {path})") for each in sentences)
        assert in_the_file == (key in keys[:3]), key


def test_the_last_file_that_sets_a_wrong_value_is_named(tmp_path: Path) -> None:
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.write_text("segments.k = -3\nsegments.iterations = -1")
    other.write_text("segments.k = -4\nworld.warm_gap = -1")
    with pytest.raises(UserError) as refusal:
        resolve(files=[one, other])
    told = str(refusal.value).split("; ")
    assert [each.endswith(f"(in {one})") for each in told].count(True) == 1
    assert [each.endswith(f"(in {other})") for each in told].count(True) == 2
    with pytest.raises(UserError, match=r"least 0$"):
        resolve(files=[one], settings={"segments.k": "-5", "segments.iterations": 1})


@pytest.mark.parametrize(
    "make",
    [
        lambda: SegmentsConfig(k=-3),
        lambda: Config(seed=-1),
        lambda: Config(spaces=("word2vec",)),
        lambda: Config.model_validate({"evaluation": {"k": (5, 5)}}),
        lambda: Config().segments.replace(k=-3),
        lambda: Config.model_validate({"segmets": SegmentsConfig()}),
        lambda: Config(model="transformer"),
    ],
)
def test_python_is_checked_as_well(make: Any) -> None:
    with pytest.raises(ValidationError):
        make()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"mlp.drop_last": "5"}, "'mlp.drop_last' is 5, but true or false is needed"),
        ({"segments.k": "true"}, "'segments.k' is true, but a whole number like 0 is needed"),
        ({"mlp.hidden": "x"}, "'mlp.hidden' needs a list of whole numbers like [400, 300, 200]"),
        (
            {"strategies.names": "1"},
            "'strategies.names' needs a list of texts like ['best'",
        ),
        ({"seed": "99999999999"}, "'seed' is 99999999999: it must be at most 2147483647"),
        ({"split.cold_share": "1.5"}, "'split.cold_share' is 1.5: it must be less than 1"),
        *(
            ({key: value}, f"'{key}' is {value}: it must be a number that is neither")
            for key in ("mlp.learning_rate", "split.cold_share")
            for value in ("nan", "inf")
        ),
    ],
)
def test_a_wrong_value_is_told_as_toml_spells_it(settings: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError) as refusal:
        resolve(settings=settings)
    assert str(refusal.value).startswith(f"setting {sentence}")


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().segments.k = 5


@pytest.mark.parametrize(
    "value",
    ["9" * 5000, "[" * 5000, 10**5000, [[[[1]]]], {"a": {"b": 1}}],
    ids=["digits", "brackets", "huge", "nested", "table"],
)
@pytest.mark.parametrize("key", ["segments.k", "tt_svd.shift", "evaluation.k", "world.n_warm"])
def test_an_absurd_value_is_refused_in_a_short_sentence(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=key.replace(".", r"\.")) as refusal:
        resolve(settings={key: value})
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize("key", ["dataset", "model", "spaces", "strategies.names", "preset"])
def test_an_absurd_name_is_refused_in_a_short_sentence(key: str) -> None:
    with pytest.raises(UserError, match=key.replace(".", r"\.")) as refusal:
        resolve(settings={key: "a" * 5000})
    assert len(str(refusal.value)) < 350  # with all that there is to choose from


def test_a_byte_order_mark_is_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbfseed = 5\n")
    assert resolve(files=[path]).seed == 5


def test_data_in_a_file_is_relative_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sub" / "mine.toml"
    path.parent.mkdir()
    path.write_text('dataset = "events"\ndata = "logs"\n')
    monkeypatch.chdir(tmp_path)
    for given in (path, path.relative_to(tmp_path)):
        assert resolve(files=[given]).data == str(tmp_path / "sub" / "logs")
    monkeypatch.setenv("HOME", "/home/somebody")
    path.write_text('dataset = "events"\ndata = "~/logs"\n')
    assert resolve(files=[path]).data == "/home/somebody/logs"
    assert resolve(settings={"data": "~/logs"}).data == "/home/somebody/logs"


def test_only_the_synthetic_world_is_written() -> None:
    assert "[world]" in to_toml(resolve())
    assert "[world]" not in to_toml(resolve(dataset="events", settings={"data": "logs"}))


def test_a_json_schema_knows_every_key() -> None:
    schema = json_schema()

    def properties(node: dict[str, Any]) -> dict[str, Any]:
        name = node.get("$ref", "").rpartition("/")[2]
        known: dict[str, Any] = (schema["$defs"][name] if name else node).get("properties", {})
        return known

    keys = set()
    for name, node in schema["properties"].items():
        leaves = properties(node)
        keys |= {f"{name}.{leaf}" for leaf in leaves} if leaves else {name}
    assert keys == set(flat(Config()))


def test_the_import_is_light() -> None:
    heavy = ["torch", "scipy", "numba", "matplotlib", "pandas", "pyarrow", "faiss", "numpy"]
    code = f"import sys, gpu_coldstart.config; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
