"""Processes of a run: launch them with Fabric, run code in the first or in all, restore global settings at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import distributed

from enhance.training.fabric import fabric_class

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")

PRECISIONS = ("32-true", "bf16-mixed")


class RunError(ValueError):
    """A run that cannot start or continue: wrong folder, options or sources, or a loss that is not finite."""


class ElsewhereError(RunError):
    """An error of another process of the run, raised in the processes without one."""


@contextmanager
def team(devices: str, precision: str) -> Iterator[Fabric]:
    """Context with the process group of a run, started by Fabric, or before by torchrun or SLURM.

    Args:
        devices: "auto" (one GPU if there is one, else the CPU), a number N of GPUs (of processes on the CPU where
            there is none), "cpu", or "cpu:N". Under torchrun and SLURM their number of processes is used instead.
        precision: "32-true" or "bf16-mixed".
    """
    if precision not in PRECISIONS:
        raise RunError(f"precision = {precision!r}: allowed is {' or '.join(PRECISIONS)}")
    accelerator, count = read_devices(devices)
    kind = fabric_class()  # first: whatever else is imported from Fabric brings what it leaves out
    count, nodes = _launched() or (count, 1)
    joined = distributed.is_available() and distributed.is_initialized()
    try:
        fabric = kind(
            accelerator=accelerator,
            devices=count,
            num_nodes=nodes,
            strategy="ddp" if count * nodes > 1 else "auto",
            precision=precision,  # type: ignore[arg-type]
        )
        fabric.launch()
    except (RuntimeError, ValueError) as error:  # such as an environment of SLURM that Fabric does not take
        raise RunError(" ".join(str(error).split())) from None
    try:
        yield fabric
    finally:
        if not joined and distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()


def read_devices(devices: str) -> tuple[str, int]:
    """The value of `devices` as Fabric's accelerator and number of processes on this machine.

    >>> read_devices("cpu:2")
    ('cpu', 2)
    """
    kind, _, number = devices.partition(":") if devices.startswith("cpu") else ("", "", devices)
    if devices in ("auto", "cpu"):
        number = "1"
    if kind not in ("", "cpu") or not number.isdecimal() or int(number) < 1:
        raise RunError(f"devices = {devices!r}: allowed is auto, a number of GPUs, cpu, or cpu:N for N processes")
    gpus = 0 if kind == "cpu" else torch.cuda.device_count()
    if gpus and int(number) > gpus:
        raise RunError(f"devices = {devices!r}: this machine has {gpus} CUDA devices")
    return "cuda" if gpus else "cpu", int(number)


def _launched() -> tuple[int, int] | None:
    """Number of processes per machine and of machines, if torchrun or SLURM started this process."""
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    if TorchElasticEnvironment.detect():
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        return local, int(os.environ["WORLD_SIZE"]) // local
    if SLURMEnvironment.detect():
        nodes = int(os.environ.get("SLURM_NNODES", "1"))
        return int(os.environ["SLURM_NTASKS"]) // nodes, nodes
    return None


def is_first() -> bool:
    """Whether this is the first process of the run, known also before the process group exists."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK"))


def first_only(fabric: Fabric, function: Callable[[], T]) -> T:
    """Call a function in the first process and return its value in all; its exception ends the others too."""
    value: T | None = None
    problem: Exception | None = None
    if fabric.is_global_zero:
        try:
            value = function()
        except Exception as error:
            problem = error
    message, value = fabric.broadcast((None if problem is None else str(problem), value))
    if problem is not None:
        raise problem
    if message is not None:
        raise ElsewhereError(message)
    return value  # type: ignore[return-value]


def all_or_none(fabric: Fabric, function: Callable[[], T]) -> T:
    """Call a function in every process; an exception in one ends the others too."""
    value: T | None = None
    problem: Exception | None = None
    try:
        value = function()
    except Exception as error:
        problem = error
    messages = gather(fabric, None if problem is None else str(problem))
    if problem is not None:
        raise problem
    for message in messages:
        if message is not None:
            raise ElsewhereError(message)
    return value  # type: ignore[return-value]


def gather(fabric: Fabric, value: Any) -> list[Any]:
    """The values of all processes, in every process."""
    values = [value]
    if fabric.world_size > 1:
        values = [None] * fabric.world_size
        distributed.all_gather_object(values, value)
    return values


@contextmanager
def settled(device: torch.device) -> Iterator[None]:
    """Context that restores torch's random generators at its end, and flushes denormal numbers to 0 on the CPU.

    Dead ReLU channels produce denormals, with which a CPU is ten times slower. The setting is restored too.
    """
    flushed = bool(torch.tensor(1e-310, dtype=torch.float64) * 1 == 0)
    torch.set_flush_denormal(True)
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        torch.set_flush_denormal(flushed)
