"""`enhance train`: train an enhancement network."""

from __future__ import annotations

import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import torch

from degrade.files import LockedError
from degrade.recipes import recipe
from degrade.stream import StreamError
from enhance.checkpoints import CheckpointError
from enhance.configuration import plain
from enhance.option_fields import from_keys
from enhance.trainers import TRAINERS, Trainer, trainer
from enhance.training import GOES_ON, Options, Stopped, train
from enhance.training.processes import ElsewhereError, RunError, is_first
from enhance.training.rundir import RECORD, is_used
from enhance.warm_start import load_structure, warm_start

from . import runfile
from .failures import FAILED, Failures, say
from .options import Refusal
from .problems import reason
from .runfile import DEFAULTS, LENGTHS, OPTIONS, Data, RunFile
from .runflags import flags_of
from .runsources import is_begun, keep_split, low_recipe, read_sources, read_split
from .sources import PAIRS_HELP, SOURCE_HELP


@click.command(
    "train",
    epilog=f"""NETWORK is one of {", ".join(TRAINERS)}.

{SOURCE_HELP}
{PAIRS_HELP}
\b
RUN becomes
  weights.safetensors   all networks of the trainer, after the last checkpoint
  weights_*.safetensors the same of earlier checkpoints, in case the last one is damaged; see --keep
  best.safetensors      the same at the validation with the highest PSNR
  state_*.pt            optimizers and position in the stream: what --resume needs beside the weights
  log.jsonl             losses, rates and speed every --log-every steps; PSNR and SSIM of each validation
  samples/              a picture per validation: input, output, reference
  curves.png            losses and PSNR by step
  run.toml              all options of the run; --config reads it
  held_out.json         ids of the images validated on; trained_on.json: trained on; test.json: with --split or --test

\b
Examples:
  enhance train xbdcnn "phantom:chest?count=32&size=128" --out run --steps 300 --set width=8 --set crop=64
  enhance train pcenet photographs/ --vessels vessels/ --out run --epochs 100
  enhance train zhao clear/ --unpaired cataract/ --out run --precision bf16-mixed
  enhance train zhao clear/ --low-recipe cataract --out run
  enhance train --resume --out run
  torchrun --nproc-per-node=4 -m degrade_cli.enhance train xbdcnn radiographs/ --out run

\b
Exit status:
  0    the run is at its last step
  1    the run failed: the message says why, and what is saved
  2    the command is wrong; nothing has been written
  {GOES_ON}   SIGTERM, SIGUSR1, SIGHUP or SIGXCPU came: the step was finished and saved, --resume goes on from there
  130  Ctrl-C came, likewise; a second Ctrl-C stops at once
""",
)
@flags_of(Data)
@click.option("--out", metavar="RUN", type=click.Path(path_type=Path), help="The folder of the run.")
@click.option(
    "--steps",
    type=click.IntRange(1, 10**12),
    metavar="N",
    help="Length of the run in steps.  [default: the published epochs of the images to train on]",
)
@click.option(
    "--set",
    "changes",
    metavar="NAME=VALUE",
    multiple=True,
    help="A field of the trainer's configuration, such as batch_size=8, crop=none or recipe=mine.toml; may be "
    "repeated. --show lists the fields.",
)
@click.option("--show", is_flag=True, help="Print the merged configuration as TOML and stop.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="run.toml",
    help="Read options that are not given from it.",
)
@flags_of(Options)
@click.option("--strict", is_flag=True, help="Exit with code 1 if any image could not be used.")
@click.option("--resume", is_flag=True, help="Continue the run in RUN, with the options in its run.toml.")
@click.option("--overwrite", is_flag=True, help="Delete the run in RUN first, but no other files there.")
def train_command(
    out: Path | None,
    changes: tuple[str, ...],
    config: Path | None,
    steps: int | None,
    resume: bool,
    overwrite: bool,
    strict: bool,
    show: bool,
    **told: Any,
) -> None:
    """Trains NETWORK on good images of SOURCE and writes the folder RUN.

    pcenet, magenet and xbdcnn degrade them on the fly; zhao and sspnet learn from bad images too, of --unpaired, or
    made on the fly by --low-recipe.
    """
    if resume and overwrite:
        raise click.UsageError("--resume goes on and --overwrite deletes: give one of them")
    if steps and told["epochs"]:
        raise click.UsageError("--steps and --epochs say the same thing: give one of them")
    given = RunFile({name: value for name, value in told.items() if value is not None}, _fields(changes, steps))
    _read_low_recipe(given.told)
    runfile.check(given.told)
    base = _base(out, config, resume)
    given = _with_preset(given, given.told.get("network", base.told.get("network")), "--preset")
    if resume and out is not None and is_begun(out):
        keep_split(base, given)
    run = base.merged(given)
    made = _trainer(run, "--set" if given.config else "--config")
    record = RunFile(run.told, {name: value for name, value in plain(made.config).items() if _is_told(name, run)})
    if show:
        click.echo(record.to_toml(), nl=False)
        return
    options = _options(run, given)
    if out is None:
        raise Refusal("--out", "missing: the folder of the run")
    if not resume and not overwrite and out.exists() and (not out.is_dir() or is_used(out)):
        raise Refusal("--out", f"{str(out)!r} is there already: --resume goes on, --overwrite deletes the run in it")
    if not resume or not is_begun(out):
        _begin_from(made, run.told)
    split = read_split(read_sources(run, made), run, made.config.seed, out, given if resume else None)
    try:
        failed = train(
            made,
            split.on,
            out,
            options,
            held_out=split.out.high if split.out else None,
            resume=resume,
            overwrite=overwrite,
            files={RECORD: record.to_toml(), **split.files},
        )
    except KeyboardInterrupt as stop:
        sys.exit(_stopped(stop, out))
    except ElsewhereError:  # the process with the error reports it
        sys.exit(1)
    except torch.OutOfMemoryError:
        raise click.ClickException("the GPU is out of memory: try a smaller batch_size or crop") from None
    except (
        ValueError,
        StreamError,
        LockedError,
        ModuleNotFoundError,
    ) as error:  # RunError is a ValueError
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{reason(error, out)}. {_go_on(out)}") from None
    if is_first():
        failures = Failures(list(failed.items()))
        failures.tell(out / FAILED, err=True)
        say(f"{out} is trained for {made.config.steps} steps: look into samples there")
        sys.exit(1 if failures and strict else 0)


def _stopped(stop: KeyboardInterrupt, out: Path) -> int:
    """Print how to resume a stopped run; return the exit status: the signal's in the first process, 0 in others."""
    if not is_first():  # 0, since launchers kill all processes when one of them fails
        return 0
    if not isinstance(stop, Stopped):
        say(f"\nStopped at once: what was done since the last checkpoint is lost. {_resume(out)}", err=True)
        return 130
    done = "saved" if stop.saved else "what was done since is lost"
    say(f"\nStopped by {signal.Signals(stop.signal).name} after step {stop.step}, {done}. {_resume(out)}", err=True)
    return stop.status


def _resume(out: Path) -> str:
    return f"To go on: enhance train --resume --out {shlex.quote(str(out))}"


def _go_on(out: Path) -> str:
    """What is saved although a file could not be written, and how to continue."""
    with suppress(OSError):  # it may be a file, or a folder that cannot be looked into
        if is_begun(out):
            return f"The last checkpoint is whole. {_resume(out)}"
        if is_used(out):
            return f"Nothing has been trained yet. {_resume(out)}"
    return "Nothing has been trained yet: mend that, and repeat the command"


def _base(out: Path | None, config: Path | None, resume: bool) -> RunFile:
    """Options of --config, or on a resume of run.toml, over the defaults."""
    base = RunFile(dict(DEFAULTS))
    if resume and config is None and out is not None and (out / RECORD).exists():
        config = out / RECORD
    if config is None:
        return base
    found = runfile.read(config, "--config")
    return base.merged(_with_preset(found, found.told.get("network"), "--config"))


def _with_preset(run: RunFile, network: str | None, argument: str) -> RunFile:
    try:
        return run.with_preset(network)
    except ValueError as error:
        raise Refusal(argument, str(error)) from None


def _fields(changes: tuple[str, ...], steps: int | None) -> dict[str, Any]:
    """The values of --set and --steps."""
    fields: dict[str, Any] = {} if steps is None else {"steps": steps}
    for change in changes:
        name, equals, text = (part.strip() for part in change.partition("="))
        if not equals:
            raise Refusal("--set", f"{change!r} is not NAME=VALUE, such as batch_size=8")
        fields[name] = text
    return fields


def _trainer(run: RunFile, argument: str) -> Trainer:
    fields = dict(run.config)
    name = run.told.get("network")
    if name is None:
        raise Refusal("NETWORK", f"missing: one of {', '.join(TRAINERS)}")
    try:
        if (
            "recipe" not in fields
            and "low_recipe" in run.told
            and name in TRAINERS
            and TRAINERS[name].needs_low == "must"
        ):
            fields["recipe"] = run.told["low_recipe"]  # validation degrades as training does
        if "rsp" in run.told and name == "magenet":
            fields.setdefault("rsp_share", 0.0)
        if str(fields.get("recipe", "")).endswith(".toml"):
            fields["recipe"] = recipe(fields["recipe"]).to_toml()  # its text, because the file may change later
        return trainer(name, **fields)
    except (OSError, ValueError) as error:
        raise Refusal(argument if name in TRAINERS else "NETWORK", str(error)) from None


def _begin_from(made: Trainer, told: dict[str, Any]) -> None:
    """Load the weights of --init and --rsp."""
    for name, load in (("init", warm_start), ("rsp", load_structure)):
        if name not in told:
            continue
        try:
            load(made, told[name])
        except CheckpointError as error:
            raise Refusal(f"--{name}", str(error)) from None
        except OSError as error:
            raise Refusal(f"--{name}", reason(error, told[name])) from None


def _read_low_recipe(told: dict[str, Any]) -> None:
    """Replace the file of --low-recipe by its text, because the file may change later."""
    name = told.get("low_recipe")
    if name is not None and name.endswith(".toml"):
        told["low_recipe"] = low_recipe(name).to_toml()


def _is_told(name: str, run: RunFile) -> bool:
    return name not in LENGTHS or "epochs" not in run.told


def _options(run: RunFile, given: RunFile) -> Options:
    try:
        return from_keys(Options, run.told)
    except RunError as error:
        key = str(error).partition(" = ")[0]
        raise Refusal(OPTIONS[key].flag if key in given.told else "--config", str(error)) from None
