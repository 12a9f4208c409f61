"""Parts by name: spaces, models, strategies, data sets and engines, built in or installed.

A part is a class with ``name``, ``label`` and, but for data sets and engines, ``Parameters`` (a
frozen pydantic model) and ``fit`` (a model: ``build``). A space may also have ``check(engine, logs,
parameters)``, which refuses settings before anything is learned, and ``similarity``, where only one
makes sense in it (:func:`gpu_coldstart.spaces.similarity.similarity_in`). An installed package adds
a part by an entry point; docs/extending.md has a whole package::

    [project.entry-points."gpu_coldstart.strategies"]
    my-strategy = "my_package:MyStrategy"
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from gpu_coldstart.errors import UserError, nearest

__all__ = ["BOTH", "DATASETS", "ENGINES", "MODELS", "SPACES", "STRATEGIES", "Registry", "section"]


class Registry:
    """Classes by name, imported only when one is asked for.

    Parameters
    ----------
    kind : str
        What a part is called in messages, such as ``"strategy"``.
    group : str
        Group of the entry points that add parts.
    builtin : mapping of name to "module:Class"
    needs : tuple of str
        Attributes that a part must have, besides ``name`` and ``label``.

    Examples
    --------
    >>> SPACES.builtin
    ('tt-svd', 'ut-als', 'cml', 'hlr')
    """

    def __init__(
        self, kind: str, group: str, builtin: Mapping[str, str], needs: tuple[str, ...] = ()
    ):
        self.kind, self.group = kind, group
        self._builtin = dict(builtin)
        self._needs = ("name", "label", *needs)
        self._classes: dict[str, Any] = {}

    @property
    def builtin(self) -> tuple[str, ...]:
        """Names of the built-in parts."""
        return tuple(self._builtin)

    @cached_property
    def installed(self) -> dict[str, EntryPoint]:
        """Parts of other packages; none that has a built-in name."""
        return {name: own[0] for name, own in self._claims.items() if name not in self._builtin}

    @cached_property
    def _claims(self) -> dict[str, list[EntryPoint]]:
        """Every entry point of each name."""
        claims: dict[str, list[EntryPoint]] = {}
        for point in sorted(entry_points(group=self.group), key=lambda point: point.name):
            claims.setdefault(point.name, []).append(point)
        return claims

    def names(self) -> tuple[str, ...]:
        """All names, built-in ones first; imports nothing."""
        return (*self._builtin, *self.installed)

    def get(self, name: str) -> Any:
        """The class of that name.

        Raises
        ------
        UserError
            For an unknown name, with those that are spelled much like it; when an installed
            package's class cannot be imported or lacks something, naming the package; or when two
            packages claim the name, or one a built-in name.
        """
        if name not in self._classes:
            claims = [_package(point) for point in self._claims.get(name, [])]
            if name in self._builtin and claims:
                raise UserError(
                    f"{self.kind} '{name}' is built in, and {' and '.join(claims)} has one of that "
                    "name: uninstall it"
                )
            if len(claims) > 1:
                raise UserError(
                    f"{self.kind} '{name}' is in {' and '.join(claims)}: uninstall all but one"
                )
            if name in self._builtin:
                module, _, attribute = self._builtin[name].partition(":")
                self._classes[name] = getattr(import_module(module), attribute)
            elif name in self.installed:
                self._classes[name] = self._load(self.installed[name])
            else:
                hint = nearest(name, self.names())
                raise UserError(f"there is no {self.kind} '{name}': {hint}")
        return self._classes[name]

    def version(self, name: str) -> tuple[str, str] | None:
        """Name and version of the package that an installed part is of; None for a built-in one."""
        point = self.installed.get(name)
        return (point.dist.name, point.dist.version) if point is not None and point.dist else None

    def label(self, name: str) -> str:
        """A name as people read it; one that is not installed here stays as it is."""
        return str(self.get(name).label) if name in self.names() else name

    def refresh(self) -> None:
        """Look for entry points again, for instance after installing a package."""
        for cached in ("installed", "_claims"):
            self.__dict__.pop(cached, None)
        self._classes.clear()

    def broken(self, name: str, reason: str) -> UserError:
        """The error for an installed part that will not do, naming its package."""
        package = _package(self.installed[name])
        return UserError(
            f"{self.kind} '{name}' of {package} {reason}: fix, upgrade or uninstall it"
        )

    def _load(self, point: EntryPoint) -> Any:
        """Import an entry point's class and check it."""
        try:
            part = point.load()
        except Exception as error:  # whatever a stranger's module raises on import
            reason = f"cannot be imported ({type(error).__name__}: {error})"
            raise self.broken(point.name, reason) from error
        missing = [name for name in self._needs if not hasattr(part, name)]
        if missing:
            raise self.broken(point.name, f"has no {', '.join(missing)}")
        if part.name != point.name:
            raise self.broken(point.name, f"calls itself {part.name!r}")
        if not isinstance(part, type):
            raise self.broken(point.name, "is not a class")
        return part


def _package(point: EntryPoint) -> str:
    return f"package '{point.dist.name}'" if point.dist else f"entry point '{point.value}'"


def section(name: str) -> str:
    """A part's name as configuration keys have it.

    Examples
    --------
    >>> section("tt-svd")
    'tt_svd'
    """
    return name.replace("-", "_")


SPACES = Registry(
    "space",
    "gpu_coldstart.spaces",
    {
        "tt-svd": "gpu_coldstart.spaces.tt_svd:TtSvd",
        "ut-als": "gpu_coldstart.spaces.ut_als:UtAls",
        "cml": "gpu_coldstart.spaces.cml:Cml",
        "hlr": "gpu_coldstart.spaces.hlr:HlrSpace",
    },
    ("Parameters", "fit"),
)
BOTH = ("tt-svd", "ut-als")
"""The spaces of the paper: a run's, unless others are asked for."""
MODELS = Registry(
    "model",
    "gpu_coldstart.models",
    {"mlp": "gpu_coldstart.models.mlp:MlpModel"},
    ("Parameters", "build"),
)
STRATEGIES = Registry(
    "strategy",
    "gpu_coldstart.strategies",
    {
        "popularity": "gpu_coldstart.strategies.popularity:Popularity",
        "registration-day": "gpu_coldstart.strategies.registration_day:RegistrationDay",
        "input-features": "gpu_coldstart.strategies.input_features:InputFeatures",
        "full": "gpu_coldstart.strategies.full:FullyPersonalized",
        "semi": "gpu_coldstart.strategies.semi:SemiPersonalized",
        "soft": "gpu_coldstart.strategies.soft:SoftAllocation",
        "mixture": "gpu_coldstart.strategies.mixture:Mixture",
        "neighbours": "gpu_coldstart.strategies.neighbours:Neighbours",
        "als-fold-in": "gpu_coldstart.strategies.als_fold_in:AlsFoldIn",
        "ridge": "gpu_coldstart.strategies.ridge:Ridge",
        "gate": "gpu_coldstart.strategies.gate:Gate",
        "track-softmax": "gpu_coldstart.strategies.track_softmax:TrackSoftmax",
        "item-item": "gpu_coldstart.strategies.item_item:ItemItem",
        "dropoutnet-full": "gpu_coldstart.strategies.dropoutnet:DropoutNetFull",
        "dropoutnet-semi": "gpu_coldstart.strategies.dropoutnet:DropoutNetSemi",
        "melu-full": "gpu_coldstart.strategies.melu:MeluFull",
        "melu-semi": "gpu_coldstart.strategies.melu:MeluSemi",
        "heater": "gpu_coldstart.strategies.heater:Heater",
        "clcrec": "gpu_coldstart.strategies.clcrec:ClcRec",
        "gar": "gpu_coldstart.strategies.gar:Gar",
        "aldi": "gpu_coldstart.strategies.aldi:Aldi",
        "best": "gpu_coldstart.strategies.best:Best",
    },
    ("Parameters", "State", "fit", "recommend"),
)
DATASETS = Registry(
    "data set",
    "gpu_coldstart.datasets",
    {
        "synthetic": "gpu_coldstart.datasets.registered:Synthetic",
        "events": "gpu_coldstart.datasets.registered:Events",
        "tafeng": "gpu_coldstart.datasets.registered:TaFeng",
        "deezer": "gpu_coldstart.datasets.registered:Deezer",
    },
    ("open", "needs_data"),
)
ENGINES = Registry(
    "engine",
    "gpu_coldstart.engines",
    {
        "cpu": "gpu_coldstart.engine.cpu.engine:CpuEngine",
        "cuda": "gpu_coldstart.engine.cuda.engine:CudaEngine",
    },
    ("make",),
)
