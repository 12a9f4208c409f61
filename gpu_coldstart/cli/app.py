"""The typer application: the subcommands, and one line for every error."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

import typer

from gpu_coldstart.cli import (
    artists,
    bench,
    benchmark,
    check,
    compare,
    console,
    data,
    demo,
    doctor,
    export,
    load_store,
    options,
    recommend,
    refresh,
    relations,
    run,
    serve,
    tune,
    warm_up,
)
from gpu_coldstart.cli.memory import with_room
from gpu_coldstart.cli.wording import enough_memory, missing, sentence
from gpu_coldstart.errors import UserError

__all__ = ["app", "dispatch"]

_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

app = typer.Typer(
    name="gpu-coldstart",
    help="Recommend tracks to users on the day they register, and measure how good that is.",
    epilog="Exit status: 0 done, 2 a mistake in input or options, 3 a refresh that is worse, "
    "130 interrupted, 143 terminated.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings=_SETTINGS,
)
app.command("run", help=run.HELP, short_help=run.SHORT, epilog=run.EPILOG)(with_room(run.run))
app.command("check", help=check.HELP, short_help=check.SHORT)(with_room(check.check))
app.command("compare", help=compare.HELP, short_help=compare.SHORT)(with_room(compare.compare))
app.command("benchmark", help=benchmark.HELP, short_help=benchmark.SHORT, epilog=benchmark.EPILOG)(
    with_room(benchmark.benchmark)
)
app.command("relations", help=relations.HELP, short_help=relations.SHORT, epilog=relations.EPILOG)(
    with_room(relations.relations)
)
app.command("export", help=export.HELP, short_help=export.SHORT)(with_room(export.export))
app.command("recommend", help=recommend.HELP, short_help=recommend.SHORT)(
    with_room(recommend.recommend)
)
app.command("serve", help=serve.HELP, short_help=serve.SHORT)(with_room(serve.serve))
app.command("demo", help=demo.HELP, short_help=demo.SHORT)(with_room(demo.demo))
app.command("load-store", help=load_store.HELP, short_help=load_store.SHORT)(load_store.load_store)
app.command("refresh", help=refresh.HELP, short_help=refresh.SHORT, epilog=refresh.EPILOG)(
    with_room(refresh.refresh)
)
app.command("tune", help=tune.HELP, short_help=tune.SHORT, epilog=tune.EPILOG)(with_room(tune.tune))
app.command("warm-up", help=warm_up.HELP, short_help=warm_up.SHORT)(with_room(warm_up.warm_up))
app.command("doctor", help=doctor.HELP, short_help=doctor.SHORT)(with_room(doctor.doctor))
app.add_typer(data.app, name="data")
app.add_typer(artists.app, name="artists")
# All its arguments, --help among them, go to the benchmarks' own parser.
app.command(
    "bench",
    help=bench.HELP,
    short_help=bench.SHORT,
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)(with_room(bench.bench))


@app.callback()
def _group(*, version: Annotated[bool, options.version] = False) -> None:
    del version


@cache
def _parser() -> Any:
    return typer.main.get_command(app)


def dispatch(arguments: Sequence[str], command: str, name: str) -> int:
    """Parse a command line and run it.

    Parameters
    ----------
    arguments : sequence of str
    command : str
        The subcommand; empty where the first argument names it.
    name : str
        What ``--help`` calls the command.

    Returns
    -------
    int
        The exit status.
    """
    parser = _parser()
    line = shlex.join([*name.split(), *arguments])
    chosen = parser.commands[command] if command else parser
    try:
        # Not the parser's own `main`, which exits, prints usage and turns Ctrl-C into an error.
        with (
            enough_memory(),
            chosen.make_context(name, list(arguments), obj=line, **_SETTINGS) as context,
        ):
            return int(chosen.invoke(context) or 0)
    except typer.Exit as end:
        return end.exit_code
    except typer.TyperException as error:
        return console.complain(_one_line(error))
    except BrokenPipeError:
        raise
    except ModuleNotFoundError as error:
        if not missing(error):
            raise
        return console.complain(missing(error))
    except (UserError, OSError) as error:
        return console.complain(sentence(error))


def _one_line(error: typer.TyperException) -> str:
    """A usage error as a sentence."""
    possible = getattr(error, "possibilities", None)
    if possible:
        return f"{error.message}: did you mean {possible[0]}?"
    context = getattr(error, "ctx", None)
    if error.message == "Missing command." and context is not None:
        return f"Missing command: use one of {', '.join(context.command.list_commands(context))}"
    return error.format_message()
