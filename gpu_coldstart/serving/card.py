"""``MODEL_CARD.md``: what a bundle is, for the people who answer for using it.

(Model cards: Mitchell et al., FAT* 2019.) It is made of what the bundle holds, so the same model
has the same card to the byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gpu_coldstart.config.parameters import Config, flat
from gpu_coldstart.data.signals import SIGNALS
from gpu_coldstart.evaluation.protocol import MEASURES
from gpu_coldstart.registry import MODELS, SPACES, STRATEGIES, section
from gpu_coldstart.reporting.blocks import setting_text
from gpu_coldstart.reporting.labels import space_name, strategy_name
from gpu_coldstart.reporting.results import aligned
from gpu_coldstart.runs.names import visible
from gpu_coldstart.serving.model import Fitted

__all__ = ["CARD", "card"]

CARD = "MODEL_CARD.md"

_MARKUP = re.compile(r"([\\`*_{}\[\]<>|#!&~])")
_ELSEWHERE = ("data", "dataset", "preset", "spaces", "world.")
"""Settings that other sections tell, or that say where things are."""


def card(fitted: Fitted, config: Config) -> str:
    """The card of a model, as Markdown."""
    about = fitted.about
    sections = {
        "Intended use": _USE,
        "Data": [*_data(about["data"]), *_bullets(about["notes"])],
        "Training": [*_training(fitted, config)],
        "Quality": [*_quality(about.get("quality"))],
        "Limits": [*_limits(fitted)],
        "Signals and personal data": [*_personal(fitted)],
        "Licence and versions": [*_origin(about)],
    }
    space = space_name(about["space"])
    ways = ", ".join(map(strategy_name, fitted.strategies))
    parts = [
        f"# Model card: user cold start in the space {_text(space)}",
        "Ranks the tracks of a catalogue for users of a streaming service on the day they sign up, "
        f"from that day's events, age and country. Ways to recommend: {_text(ways)}.",
    ]
    for head, lines in sections.items():
        parts += [f"## {head}", *lines]
    return "\n\n".join(parts) + "\n"


_USE = (
    "Lists and carousels for users without a history, on the service whose logs the model was "
    "fitted on. It is not meant for users with a history of weeks, who are better served from "
    "that; for another service or catalogue; or for decisions about people.",
)


def _data(data: Mapping[str, Any]) -> Iterator[str]:
    """Days, sizes, cohorts and countries."""
    name = data.get("name")
    yield (
        f"{f'Data set: {_text(name)}. ' if name else ''}Streams of warm users from "
        f"{data['first_day']} to {data['last_day']}. Split: {_text(data['split'])}."
    )
    kinds = ("warm_users", "validation_users", "test_users", "target_users")
    sizes = (*kinds, "tracks", "artists", "albums", "playlists")
    yield aligned([["", "number"], *([_words(kind), str(data[kind])] for kind in sizes)])
    warm = data["warm_users_by_country"]
    if warm:
        named = sorted(warm, key=lambda country: (-warm[country], country))
        listed = ", ".join(f"{_text(country)} {warm[country]}" for country in named)
        unknown = data["warm_users"] - sum(warm.values())
        yield f"Warm users by country: {listed}; without a country {unknown}."


def _bullets(notes: Sequence[str]) -> Iterator[str]:
    """Notes as a list; nothing without any."""
    if notes:
        yield "\n".join(f"- {_text(note)}" for note in notes)


def _training(fitted: Fitted, config: Config) -> Iterator[str]:
    """What was learned, and with which settings."""
    about = fitted.about
    network, segments = about["network"], len(fitted.described["size"])
    yield (
        f"Warm users and tracks were placed in the space {_text(space_name(about['space']))}, the "
        f"warm users cut into {segments} segments, and a network trained from "
        f"{network['inputs']} inputs to the {network['outputs']} dimensions of the space. On "
        "validation users its mean cosine with where their later streams are is "
        f"{about['validation_cosine']:.4f}. Strategies that tune anything did so on validation "
        "users; no test user had a part in it. Fitted at " + about["fitted_at"] + "."
    )
    usual = flat(type(config)())
    unused = {*SPACES.names(), *MODELS.names()} - {about["space"], config.model}
    left_out = (*_ELSEWHERE, *(f"{section(name)}." for name in unused))
    changed = [
        [f"`{key}`", _text(setting_text(value)), _text(setting_text(usual[key]))]
        for key, value in flat(config).items()
        if not key.startswith(left_out) and value != usual[key]
    ]
    if changed:
        yield "Settings that are not the defaults (all are in `config.toml`):"
        yield aligned([["setting", "value", "default"], *changed])
    else:
        yield "All settings are the defaults."


def _quality(quality: Mapping[str, Any] | None) -> Iterator[str]:
    """The measures of a run; a model that was fitted alone has none."""
    if quality is None:
        yield (
            "Not measured: the model was fitted without a run. `gpu-coldstart export` makes a "
            "bundle of a run, with its measures."
        )
        return
    yield (
        f"Measured on {quality['test_users']} test users against what they streamed after the "
        "first day, in per cent, ± the standard deviation over parts of them. P is of "
        "min(K, tracks to be found)."
    )
    ks = dict.fromkeys(row["k"] for row in quality["strategies"])
    for k in ks:
        yield aligned(
            [
                ["Strategy", *(f"{measure[0].upper()}@{k}" for measure in MEASURES)],
                *(
                    [strategy_name(row["strategy"]), *(_measured(row, each) for each in MEASURES)]
                    for row in quality["strategies"]
                    if row["k"] == k
                ),
            ]
        )
    yield from _strata(quality["by_interactions"])


def _strata(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """NDCG by how much users did on the first day; nothing without rows."""
    if not rows:
        return
    groups = {row["group"]: row["users"] for row in sorted(rows, key=lambda row: row["order"])}
    yield f"N@{rows[0]['k']} by interactions on the first day (and how many test users had them):"
    lines = [["Strategy", *(f"{group} ({users})" for group, users in groups.items())]]
    for strategy in dict.fromkeys(row["strategy"] for row in rows):
        found = {row["group"]: row["mean"] for row in rows if row["strategy"] == strategy}
        lines.append([strategy_name(strategy), *(_percent(found[group]) for group in groups)])
    yield aligned(lines)


def _limits(fitted: Fitted) -> Iterator[str]:
    """What the lists do not do, and how they favour what is popular."""
    data, sizes = fitted.about["data"], fitted.described["size"]
    yield (
        f"Only the {data['tracks']} tracks of the catalogue can be recommended, and tastes are "
        f"those of {data['first_day']} to {data['last_day']}. Users of countries that are not "
        "listed above are served as of an unknown one. Segments have from "
        f"{min(map(int, sizes))} to {max(map(int, sizes))} warm users."
    )
    rows = (fitted.about.get("quality") or {}).get("exposure", [])
    if not rows:
        yield "How much the lists favour popular tracks was not measured."
        return
    yield (
        f"How much the test users' lists of {rows[0]['k']} favour popular tracks: coverage is the "
        "share of the catalogue that anybody gets, Gini is 0 if all tracks are recommended equally "
        "often, and the rank of a track is 1 for the most popular."
    )
    heads = ["Strategy", "coverage", "Gini", "median rank", "in the top 100"]
    yield aligned(
        [
            heads,
            *(
                [
                    strategy_name(row["strategy"]),
                    f"{_percent(row['coverage'])} %",
                    f"{row['gini']:.3f}",
                    f"{row['p50']:g}",
                    f"{_percent(row['share_top_100'])} %",
                ]
                for row in rows
            ),
        ]
    )


def _personal(fitted: Fitted) -> Iterator[str]:
    """What it asks of users, and what it holds of those that it was fitted on."""
    done: dict[str, list[str]] = {}
    for signal in SIGNALS:
        done.setdefault(signal.action, []).append(signal.entity)
    signals = "; ".join(f"{action} of {', '.join(of)}" for action, of in done.items())
    yield (
        f"It uses a user's age, country and events of the first day: {signals}. All may be missing."
    )
    kept = {name: STRATEGIES.get(name).keeps for name in fitted.states}
    exceptions = [f"{strategy_name(name)} keeps {what}" for name, what in kept.items() if what]
    if exceptions:
        yield f"It holds data of single users: {_text('; '.join(exceptions))}."
    else:
        yield (
            "It holds no user's ids, events, age or country: only sums and means over users, and "
            "weights learned from them."
        )
    yield (
        "Popularity in small segments and counts of rare tracks may still go back to few users. "
        "What is recommended to someone is not kept."
    )


def _origin(about: Mapping[str, Any]) -> Iterator[str]:
    """Licence, software and data."""
    yield (
        "The software, gpu_coldstart, is under Apache-2.0. Under which licence the model may be "
        "used is for those to say whose logs it was fitted on."
    )
    versions = about.get("versions") or {}
    listed = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    fitted_with = _text(listed) or "unknown versions"
    yield f"Written by gpu_coldstart {about['version']}; fitted with {fitted_with}."
    digests = about["data"].get("sha256")
    if not digests:
        yield "The data were in no file that has a fingerprint."
        return
    yield "SHA-256 of the data:"
    yield aligned(
        [["file", "SHA-256"], *([_text(name), each] for name, each in sorted(digests.items()))]
    )


def _measured(row: Mapping[str, Any], measure: str) -> str:
    return f"{_percent(row[measure])} ± {_percent(row[f'{measure}_std'])}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"


def _words(key: str) -> str:
    return key.replace("_", " ")


def _text(text: str) -> str:
    r"""Text out of the data that is no markup.

    Examples
    --------
    >>> print(_text("<b>[a](b)\n|"))
    \<b\>\[a\](b) \|
    """
    return _MARKUP.sub(r"\\\1", " ".join(visible(text).split()))
