from __future__ import annotations

import subprocess
import sys
import threading
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from gpu_coldstart import profiling as installed


class Tape:
    """A stand-in for the package ``nvtx`` that records what it is told."""

    def __init__(self, *, attached: bool = True):
        self.events: list[tuple[str, ...]] = []
        self.opened: list[str] = []
        self.prepared: list[str] = []
        tape = self

        class Domain:
            def __init__(self, name: str):
                self.name = name

            def get_event_attributes(self, *, message: str, color: str) -> SimpleNamespace:
                tape.prepared.append(message)
                return SimpleNamespace(message=message, color=color)

            def push_range(self, attributes: SimpleNamespace) -> None:
                tape.events.append(("push", self.name, attributes.message))

            def pop_range(self) -> None:
                tape.events.append(("pop", self.name))

        def get_domain(name: str) -> object:
            tape.opened.append(name)
            return Domain(name) if attached else object()

        self.module = ModuleType("nvtx")
        vars(self.module).update(Domain=Domain, get_domain=get_domain)


def fresh(monkeypatch: pytest.MonkeyPatch, nvtx: ModuleType | None) -> Any:
    """The module under test, imported anew beside the one the package uses."""
    monkeypatch.setitem(sys.modules, "nvtx", nvtx)
    spec = spec_from_file_location("fresh_profiling", installed.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tape() -> Tape:
    return Tape()


@pytest.fixture
def profiling(monkeypatch: pytest.MonkeyPatch, tape: Tape) -> Any:
    return fresh(monkeypatch, tape.module)


def test_ranges_have_their_domain_and_name_and_nest(profiling: Any, tape: Tape) -> None:
    with profiling.stage("tt-svd"), profiling.primitive("svd"), profiling.kernel("pool"):
        pass
    assert tape.events == [
        ("push", "gpu_coldstart.stage", "tt-svd"),
        ("push", "gpu_coldstart.primitive", "svd"),
        ("push", "gpu_coldstart.kernel", "pool"),
        ("pop", "gpu_coldstart.kernel"),
        ("pop", "gpu_coldstart.primitive"),
        ("pop", "gpu_coldstart.stage"),
    ]
    assert tuple(profiling.DOMAINS) == tuple(event[1] for event in tape.events[:3])


def test_a_range_nests_in_itself(profiling: Any, tape: Tape) -> None:
    with profiling.primitive("svd"), profiling.primitive("svd"):
        pass
    assert [event[0] for event in tape.events] == ["push", "push", "pop", "pop"]


@pytest.mark.parametrize("name", ["stage", "primitive", "kernel"])
def test_an_exception_pops_the_range_and_goes_on(profiling: Any, tape: Tape, name: str) -> None:
    with pytest.raises(ZeroDivisionError), getattr(profiling, name)("x"):
        raise ZeroDivisionError
    assert [event[0] for event in tape.events] == ["push", "pop"]


@pytest.mark.parametrize("form", ["function", "decorator"])
def test_a_function_in_a_range(profiling: Any, tape: Tape, form: str) -> None:
    def divide(one: int, other: int = 2) -> float:
        """Divide."""
        return one / other

    wrapped = (
        profiling.annotated(divide, "divide")
        if form == "function"
        else profiling.primitive("divide")(divide)
    )
    assert wrapped(3) == 1.5
    assert wrapped(one=3, other=1) == 3
    with pytest.raises(ZeroDivisionError):
        wrapped(3, other=0)
    assert tape.events == 3 * [
        ("push", "gpu_coldstart.primitive", "divide"),
        ("pop", "gpu_coldstart.primitive"),
    ]
    assert (wrapped.__name__, wrapped.__doc__, wrapped.__wrapped__) == (
        "divide",
        "Divide.",
        divide,
    )


def test_a_method_in_a_range(profiling: Any, tape: Tape) -> None:
    class Engine:
        def svd(self, rank: int) -> tuple[Engine, int]:
            return self, rank

    Engine.svd = profiling.annotated(Engine.svd, "svd")  # type: ignore[method-assign]
    engine = Engine()
    assert engine.svd(3) == (engine, 3)
    assert tape.events[0] == ("push", "gpu_coldstart.primitive", "svd")


def test_domains_and_attributes_are_made_once(profiling: Any, tape: Tape) -> None:
    for _ in range(3):
        for name in ("pool", "pmi"):
            with profiling.kernel(name):
                pass
    assert tape.opened == ["gpu_coldstart.kernel"]
    assert tape.prepared == ["pool", "pmi"]


def test_threads_share_a_range(profiling: Any, tape: Tape) -> None:
    def work() -> None:
        for _ in range(200):
            with profiling.kernel("pool"):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pushed = sum(event[0] == "push" for event in tape.events)
    assert (pushed, len(tape.events)) == (800, 1600)


@pytest.mark.parametrize("nvtx", ["absent", "too old", "not attached"])
def test_without_a_profiler_nothing_is_left(monkeypatch: pytest.MonkeyPatch, nvtx: str) -> None:
    tape = Tape(attached=False)
    if nvtx == "too old":
        del vars(tape.module)["get_domain"]
    profiling = fresh(monkeypatch, None if nvtx == "absent" else tape.module)

    def function() -> int:
        return 1

    assert profiling.stage("a") is profiling.kernel("b")
    assert profiling.annotated(function, "c") is function
    assert profiling.primitive("c")(function) is function
    with pytest.raises(ZeroDivisionError), profiling.stage("a"), profiling.primitive("b"):
        raise ZeroDivisionError
    assert tape.prepared == []
    assert tape.events == []


def test_the_package_itself_is_free_of_ranges_here() -> None:
    """With or without the real package: no profiler is attached to the tests."""
    code = "from gpu_coldstart import profiling as p; assert p.stage('a') is p.kernel('b')"
    subprocess.run([sys.executable, "-c", code], check=True)
