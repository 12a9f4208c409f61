"""Markdown and plots from the JSON of a campaign."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from bench import plots
from bench.results import (
    Campaign,
    Outcome,
    Ratio,
    Result,
    best_rival,
    by_size,
    load,
    ratio,
    spread,
)
from gpu_coldstart.errors import UserError

__all__ = ["markdown", "write"]


def write(source: Path, out: Path) -> Path:
    """Make ``<name>.md`` and its plots in ``out`` of a file of results.

    Plots are ``<name>-<benchmark>.svg``, and of a sweep ``<name>-sizes.svg``.

    Returns
    -------
    Path
        The Markdown file.

    Raises
    ------
    UserError
        When the file does not hold results, or ``out`` cannot be written.
    """
    campaign = load(source)
    page = out / f"{source.stem}.md"
    try:
        out.mkdir(parents=True, exist_ok=True)
        pictures = plots.draw(campaign, out, source.stem)
        page.write_text(markdown(campaign, pictures), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{error.filename or out} cannot be written ({error.strerror})") from error
    return page


def markdown(campaign: Campaign, pictures: dict[str, str] | None = None) -> str:
    """The whole page.

    Parameters
    ----------
    campaign : Campaign
    pictures : dict of str to str
        File of each benchmark's plot, or of a sweep's under :data:`bench.plots.SIZES`, seen from
        the page.
    """
    sweep = len(campaign.scales) > 1
    parts = [_head(campaign), _sizes(campaign) if sweep else _summary(campaign)]
    if pictures and sweep:
        parts.append(f"![ratios by size]({pictures[plots.SIZES]})")
    for result in campaign.results:
        parts.append(_section(result, campaign.machine, at=result.scale if sweep else None))
        if pictures and result.name in pictures:
            parts.append(f"![{result.name}]({pictures[result.name]})")
    return "\n\n".join(parts) + "\n"


def _table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, its columns to the right but for the first."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def _number(value: float) -> str:
    """Three digits, or all that are before the point.

    Examples
    --------
    >>> _number(0.012345), _number(1.5), _number(70000)
    ('0.0123', '1.50', '70 000')
    """
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 1 or value == 0:
        return f"{value:.{2 if abs(value) < 10 else 1}f}"
    return f"{value:.3g}"


def _head(campaign: Campaign) -> str:
    machine, settings = campaign.machine, campaign.settings
    rates = ", ".join(f"{name} {_number(rate)}" for name, rate in machine["rates"].items())
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    commit = machine.get("commit") or "unknown"
    changed = " with changes" if machine.get("changed_since_commit") else ""
    scales = ", ".join(f"{scale:g}" for scale in campaign.scales)
    device = f"; {machine['gpu']}, driver {machine['driver']}" if machine.get("gpu") else ""
    return "\n".join(
        [
            f"# Benchmarks at scale {scales}, engine {machine['engine']}",
            "",
            f"- {campaign.date}; commit {commit[:12]}{changed}",
            f"- {machine['processor']}, {machine['threads']} of {machine['cores']} cores, "
            f"{machine['memory_gb']:g} GB{device}",
            f"- measured rates of this machine: {rates}",
            f"- Python {machine['python']}; {versions}",
            f"- at most {settings['rounds']} rounds, seed {settings['seed']}; "
            "`bench/README.md` says how to read this",
        ]
    )


def _summary(campaign: Campaign) -> str:
    """One line for each benchmark: us and the best rival."""
    rows = []
    for result in campaign.results:
        ours, rival = result.ours, best_rival(result)
        if ours is None or not result.versus:
            continue
        line = [result.name, _number(statistics.median(ours.seconds))]
        found = None if rival is None else ratio(ours, rival)
        if rival is None or found is None:
            rows.append([*line, "none", "", "", ""])
            continue
        s = found.spread
        rows.append(
            [
                *line,
                rival.name,
                _number(statistics.median(rival.seconds)),
                f"{s.median:.2f} [{s.first:.2f}, {s.third:.2f}]",
                f"{s.low:.2f} to {s.high:.2f}",
            ]
        )
    if not rows:
        return ""
    head = ["", "ours, s", "best rival", "its, s", "ratio [quartiles]", "least to most"]
    return f"{_table(head, rows)}\n\nRatios below 1 mean that ours is faster."


def _sizes(campaign: Campaign) -> str:
    """Of a sweep, the ratio to the best rival at each scale, a line for each benchmark."""
    rows = [
        [name, *(_against(by_scale.get(scale)) for scale in campaign.scales)]
        for name, by_scale in by_size(campaign).items()
    ]
    head = ["", *(f"{scale:g}" for scale in campaign.scales)]
    return f"{_table(head, rows)}\n\nOur time over the best rival's; below 1 ours is faster."


def _against(found: Ratio | None) -> str:
    return "" if found is None else f"{found.spread.median:.2f} ({found.rival})"


def _section(result: Result, machine: dict[str, Any], *, at: float | None) -> str:
    name = result.name if at is None else f"{result.name} at scale {at:g}"
    title = f"## {name}\n\n{result.what[0].upper()}{result.what[1:]}."
    if result.skipped:
        return f"{title}\n\nNot run: {result.skipped}"
    sizes = ", ".join(f"{size:,} {name}".replace(",", " ") for name, size in result.sizes.items())
    ran = [one for one in result.outcomes if one.seconds]
    parts = [title, f"Sizes: {sizes}.", _times(result, ran, machine)]
    if any(one.parts for one in ran):
        parts.append(_stages(ran))
    traced = [one for one in ran if one.trace]
    if traced:
        parts.append(_traces(traced))
    told = [one for one in result.outcomes if one.reason]
    if told:
        parts.append("\n".join(f"- {one.name}: {one.status}; {one.reason}" for one in told))
    return "\n\n".join(parts)


def _times(result: Result, ran: list[Outcome], machine: dict[str, Any]) -> str:
    """Times, spread, memory and quality of every contender that ran."""
    on_gpu = machine["engine"] == "cuda"
    names = list(dict.fromkeys(name for one in ran for name in one.quality))
    head = ["", "median, s", "quartiles", "rounds", "times ours"]
    head += [f"{result.items}/s"] * bool(result.items)
    head += ["peak MB"] + ["GPU MB"] * on_gpu
    head += _shares_head(result) + names + ["quality"] * result.versus
    rows = []
    for one in ran:
        s = spread(one.seconds)
        against = ratio(one, result.ours) if result.ours else None
        row = [
            f"**{one.name}**" if one.ours else one.name,
            _number(s.median),
            f"{_number(s.first)} to {_number(s.third)}",
            str(len(one.seconds)),
            f"{against.spread.median:.2f}" if against else "",
        ]
        if result.items:
            row.append(_number(result.sizes[result.items] / s.median) if s.median else "")
        row.append(_number(one.peak_mb))
        row += [_number(max(one.device_peak_mb, default=0.0))] * on_gpu
        row += _shares(result, s.median, machine)
        row += [f"{one.quality[name]:.6g}" if name in one.quality else "" for name in names]
        rows.append([*row, *[one.verdict] * result.versus])
    return _table(head, rows)


def _shares_head(result: Result) -> list[str]:
    return ["of copy rate"] * bool(result.bytes) + ["of matmul rate"] * bool(result.flops)


def _shares(result: Result, seconds: float, machine: dict[str, Any]) -> list[str]:
    """Which share of the machine's own rates the least possible work comes to."""
    found = []
    for amount, rate in (
        (result.bytes, machine["rates"]["copy_gb_per_s"]),
        (result.flops, machine["rates"]["matmul_gflop_per_s"]),
    ):
        if amount:
            found.append(f"{amount / seconds / rate / 1e9:.1%}" if seconds and rate else "")
    return found


def _stages(ran: list[Outcome]) -> str:
    """Median seconds of each part of the work, and what is left of the whole."""
    columns = [_medians(one) for one in ran]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [
        [name, *(_number(column[name]) if name in column else "" for column in columns)]
        for name in names
    ]
    return _table(["seconds", *(one.name for one in ran)], rows)


def _medians(one: Outcome) -> dict[str, float]:
    found = {
        name: statistics.median([parts[name] for parts in one.parts if name in parts])
        for name in one.parts[0]
    }
    # Reading the configuration, report and figures belong to no stage.
    rest = statistics.median(one.seconds) - sum(found.values())
    return found | {"besides": max(0.0, rest)}


def _traces(traced: list[Outcome]) -> str:
    """When each contender first came to the worst of the final objectives."""
    aim = max(one.trace[-1][1] for one in traced)
    lines = []
    for one in traced:
        # Two ways to sum the same objective may differ in its last digits.
        when = next((x for x, y in one.trace if y <= aim * (1 + 1e-4)), None)
        reached = "never" if when is None else f"after {_number(when)} s"
        lines.append(f"- {one.name} comes to an objective of {aim:.6g} {reached}")
    return "\n".join(lines)
