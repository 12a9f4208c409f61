"""The family of artifacts: files of a finished run, and of a saved bundle."""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gpu_coldstart import ColdStart, Dataset
from gpu_coldstart.errors import UserError
from tests.fuzz.data import untouched
from tests.fuzz.runner import Family, Random, one_of, require, some_of
from tests.fuzz.world import K, Lists, cli, lists_of, one_refusal, run, sections, sound, tables
from tests.runs.helpers import Result, differing, lasting

MAY_DIFFER = ("run.log", "times.json")
"""Files that tell of every call."""


@cache
def originals() -> Path:
    """Tables, two finished runs on them, a bundle, and what it recommends."""
    place = Path(tempfile.mkdtemp(prefix="fuzz-originals-")).resolve()
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    data = untouched().write(place / "data")
    for name, options in (("run", ()), ("other", ("--seed", "1"))):
        result = run(data, place / name, *options)
        require(result.status == 0, result.err)
        sound(place / name)
    model = ColdStart(space="tt-svd", engine="cpu", preset="tiny", **sections())
    model.fit(Dataset.from_parquet(data)).save(place / "bundle")
    pq.write_table(_today(), place / "today.parquet")
    return place


def _today() -> pa.Table:
    users = tables()["users"]
    wanted = [split in ("test", "target") for split in users["split"].to_pylist()]
    return users.filter(pa.array(wanted)).drop_columns(["split"])


@cache
def served() -> Lists:
    return _served(originals() / "bundle")


def _served(bundle: Path) -> Lists:
    model = ColdStart.load(bundle, engine="cpu")
    return lists_of(model.recommend(_today(), tables()["interactions"], k=K))


# -- damage ----------------------------------------------------------------------------------------

Damage = Callable[[Random, Path, Path], None]
"""Takes a file, and the directory of the run or bundle that it is in."""


def flip(random: Random, path: Path, root: Path) -> None:
    content = bytearray(path.read_bytes())
    for at in random.integers(len(content), size=random.integers(1, 4)):
        content[at] ^= int(random.integers(1, 256))
    path.write_bytes(content)


def cut(random: Random, path: Path, root: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(random.integers(len(content)))])


def grow(random: Random, path: Path, root: Path) -> None:
    path.write_bytes(path.read_bytes() + random.bytes(int(random.integers(1, 9))))


def replace_by_junk(random: Random, path: Path, root: Path) -> None:
    junk = [b"", b"null", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, random.bytes(99), b"1e999"]
    path.write_bytes(one_of(random, junk))


def delete(random: Random, path: Path, root: Path) -> None:
    path.unlink()


def make_a_directory(random: Random, path: Path, root: Path) -> None:
    path.unlink()
    path.mkdir()


def link_nowhere(random: Random, path: Path, root: Path) -> None:
    path.unlink()
    path.symlink_to(one_of(random, [root / "nowhere", path]))


def swap(random: Random, path: Path, root: Path) -> None:
    other = one_of(random, _files(root))
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)


def take_from_another(random: Random, path: Path, root: Path) -> None:
    """The file of that name of a run with another seed; for a bundle, of a run."""
    other = originals() / "other" / path.relative_to(root)
    if other.is_file():
        shutil.copy(other, path)


def edit_json(random: Random, path: Path, root: Path) -> None:
    """Another value, key or type somewhere in a JSON file."""
    if path.suffix != ".json":
        choices = [each for each in _files(root) if each.suffix == ".json"]
        path = one_of(random, choices) if choices else path
    try:
        tree = json.loads(path.read_bytes())
    except (ValueError, RecursionError):  # damaged before
        return
    node, places = tree, []
    while isinstance(node, dict | list) and node and random.random() < 0.9:
        key = one_of(random, node if isinstance(node, dict) else range(len(node)))
        places.append((node, key))
        node = node[key]
    values: list[Any] = [
        None,
        0,
        -1,
        1e300,
        10**30,
        "",
        "../../x",
        "/etc/passwd",
        [],
        {},
        True,
        "é",
    ]
    if places:
        holder, key = places[-1]
        if random.random() < 0.3:
            del holder[key]
        else:
            holder[key] = one_of(random, values)
    else:
        tree = one_of(random, values)
    path.write_text(json.dumps(tree))


def leave_something(random: Random, path: Path, root: Path) -> None:
    """A stranger, or what a kill may leave."""
    names = ["notes.txt", ".x.part", "artifacts/x", f"{path.name}.part", "lock", ".lock"]
    beside = root / str(one_of(random, names))
    beside.parent.mkdir(exist_ok=True)
    beside.write_bytes(b"x")


DAMAGES: tuple[Damage, ...] = (
    *(flip, cut, grow, replace_by_junk, delete, make_a_directory, link_nowhere, swap),
    *(take_from_another, edit_json, leave_something),
)


def _files(root: Path) -> list[Path]:
    """Those with something in them."""
    paths = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(path for path in paths if path.stat().st_size)


def vouch(root: Path, listing: str) -> None:
    """Make the hashes agree with the files, as whoever can write those could."""
    content = json.loads((root / listing).read_bytes())
    every = content["stages"].values() if listing == "manifest.json" else [content["files"]]
    for files in every:
        for name in files:
            files[name] = hashlib.sha256((root / name).read_bytes()).hexdigest()
    (root / listing).write_text(json.dumps(content))


# -- what comes of it ------------------------------------------------------------------------------


def trial(random: Random, place: Path, done: list[str]) -> str:
    kind = str(one_of(random, ["run", "bundle"]))
    if random.random() < 0.3:
        return _vouched(random, kind, place, done)
    root = Path(shutil.copytree(originals() / kind, place / kind))
    for damage in some_of(random, list(DAMAGES), 1, 2):
        path = one_of(random, _files(root))
        done.append(f"{damage.__name__} {path.relative_to(root)}")
        damage(random, path, root)
        if not _files(root):
            break
    if kind == "bundle":
        return _bundle(random, root, place, done)
    return _tried(random, root, place, done, rather=lambda: _resumed(random, root, done))


def _tried(
    random: Random, root: Path, place: Path, done: list[str], *, rather: Callable[[], str]
) -> str:
    """Half of the time something else, else what only reads a run."""
    chance = random.random()
    if chance < 0.25:
        return _compared(root, place, done)
    return _exported(root, place, done) if chance < 0.5 else rather()


def _resumed(random: Random, root: Path, done: list[str]) -> str:
    """Run again, which must end in the same bytes, or be refused and leave what is as it was.

    Damage to the manifest may have stages made again before the refusal, to the bytes they had.
    """
    before = _without(snapshot_of(root))
    resume = ["--resume"] if random.random() < 0.5 else []
    done.append(f"run {' '.join(resume)}")
    result = run(originals() / "data", root, *resume)
    if result.status == 2:
        _refused(result, root)
        wrong = differing(before, _without(snapshot_of(root)))
        wrong = {name for name in wrong if not _made_again(Path(name), root)}
        require(not wrong, f"changed after {result.err}: {wrong}")
        return "refused"
    require(result.status == 0, f"status {result.status}: {result.err[-3000:]}")
    other = differing(lasting(originals() / "run"), lasting(root))
    # Nothing vouches for the manifest itself, which says what the run is made with and has.
    stages = json.loads((root / "manifest.json").read_bytes())["stages"]
    other &= {name for files in stages.values() for name in files}
    require(not other, f"other bytes in {other}")
    json.loads((root / "results.json").read_bytes())
    return "same"


def _made_again(path: Path, root: Path) -> bool:
    """Whether a file is as a sound run writes it, or of those that an unfinished one lacks."""
    if path.name in ("manifest.json", "results.json", "report.html"):
        return True
    original = originals() / "run" / path.relative_to(root)
    return path.is_file() and original.is_file() and path.read_bytes() == original.read_bytes()


def _compared(root: Path, place: Path, done: list[str]) -> str:
    before = snapshot_of(root)
    done.append("compare")
    result = cli("compare", root, originals() / "other", "--out", place / "both.csv")
    require(snapshot_of(root) == before, "comparing changed a run")
    if result.status == 2:
        _refused(result, root)
        require(not (place / "both.csv").exists(), "the refused comparison left a file")
        return "refused"
    require(result.status == 0, f"status {result.status}: {result.err[-3000:]}")
    return "sound"


@cache
def exported() -> Lists:
    """What the untouched run's model recommends."""
    place = originals() / "exported"
    result = cli("export", originals() / "run", "--out", place, "--engine", "cpu")
    require(result.status == 0, result.err)
    return _served(place)


def _exported(root: Path, place: Path, done: list[str]) -> str:
    """Refused, or a bundle that can be; the same where no hash was changed with a file."""
    before = snapshot_of(root)
    done.append("export")
    result = cli("export", root, "--out", place / "exported", "--engine", "cpu")
    require(snapshot_of(root) == before, "exporting changed a run")
    if result.status == 2:
        _refused(result, root)
        require(not (place / "exported").exists(), "the refused export left something")
        return "refused"
    require(result.status == 0, f"status {result.status}: {result.err[-3000:]}")
    lists = _served(place / "exported")
    vouched_for = any("vouched for" in each for each in done)
    require(vouched_for or lists == exported(), "other recommendations")
    return "sound" if vouched_for else "same"


def _bundle(random: Random, root: Path, place: Path, done: list[str]) -> str:
    before = snapshot_of(root)
    if random.random() < 0.5:
        try:
            lists = _served(root)
        except UserError as error:
            require(str(root) in str(error), f"{root} is not in: {error}")
            return "refused"
        require(lists == served(), "other recommendations")
        return "same"
    out = place / "lists.parquet"
    done.append("recommend")
    users = originals() / "today.parquet"
    events = originals() / "data" / "interactions.parquet"
    result = cli(
        *("recommend", root, "--users", users, "--interactions", events),
        *("--out", out, "--k", K, "--engine", "cpu"),
    )
    require(snapshot_of(root) == before, "serving changed the bundle")
    if result.status == 2:
        _refused(result, root)
        require(not out.exists(), "the refused command left a file")
        return "refused"
    require(result.status == 0, f"status {result.status}: {result.err[-3000:]}")
    require(lists_of(pq.read_table(out)) == served(), "other recommendations")
    return "same"


def _vouched(random: Random, kind: str, place: Path, done: list[str]) -> str:
    """One file with other content and the right hash: refused, or lists that can be."""
    root = Path(shutil.copytree(originals() / kind, place / kind))
    listing = {"run": "manifest.json", "bundle": "bundle.json"}[kind]
    path = one_of(random, [each for each in _files(root) if each.name != listing])
    damage: Damage = one_of(random, [flip, cut, grow, replace_by_junk, take_from_another])
    done.append(f"{damage.__name__} {path.relative_to(root)}, vouched for")
    damage(random, path, root)
    vouch(root, listing)
    if kind == "bundle":
        try:
            _served(root)
        except UserError as error:
            require(str(root) in str(error), f"{root} is not in: {error}")
            return "refused"
        return "sound"
    return _tried(random, root, place, done, rather=lambda: _changed(random, root, done))


def _changed(random: Random, root: Path, done: list[str]) -> str:
    """Other settings of a run whose files may not be what the hashes say."""
    changes = ["evaluation.k=4", "mlp.hidden=4", "segments.k=2", "evaluation.bootstrap=7"]
    change = str(one_of(random, changes))
    done.append(f"run --resume --set {change}")
    result = run(originals() / "data", root, "--resume", "--set", change)
    if result.status == 2:
        _refused(result, root)
        return "refused"
    require(result.status == 0, f"status {result.status}: {result.err[-3000:]}")
    sound(root, k=4 if change == "evaluation.k=4" else K)
    return "sound"


def _refused(result: Result, root: Path) -> None:
    one_refusal(result, str(root))


def snapshot_of(root: Path) -> dict[str, bytes]:
    """Everything below a place, with where links lead."""
    content = {}
    for path in root.rglob("*"):
        if path.is_symlink():
            content[str(path)] = bytes(path.readlink())
        else:
            content[str(path)] = b"" if path.is_dir() else path.read_bytes()
    return content


def _without(content: dict[str, bytes]) -> dict[str, bytes]:
    """What a call may not change: all but what tells of it, and what a kill has left."""
    return {
        name: each
        for name, each in content.items()
        if Path(name).name not in MAY_DIFFER and not name.endswith(".part")
    }


ARTIFACTS = Family("artifacts", trial, served)
