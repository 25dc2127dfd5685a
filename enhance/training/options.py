"""Options: how a run is carried out."""

from __future__ import annotations

from dataclasses import dataclass

from enhance.training.processes import RunError


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is carried out. None of this changes what is learned, but for `epochs`, `ema` and `precision`.

    Attributes:
        epochs: length of the run instead of the configuration's `steps`.
        devices: "auto", a number of GPUs, "cpu" or "cpu:N": see `enhance.training.processes.team`.
        precision: "32-true", or "bf16-mixed".
        workers: processes that decode images, for each process of the run; 0 decodes in it.
        cache_bytes: of decoded images to keep in memory, in each process.
        validate_every: steps between validations; there is one at the end too.
        validate_images: at most so many of the images kept out, the same ones each time.
        save_every: steps between checkpoints; there is one at the beginning and at the end too.
        keep: checkpoints that are kept, the newest ones.
        log_every: steps that a line of the log is about.
        ema: decay per step of a running average of the enhancer's weights, in [0, 1); 0 keeps none. The average is
            what is validated and what `load_enhancer` gives.
        tensorboard: write its events too.
        bar: show a progress bar where the terminal can.
    """

    epochs: int | None = None
    devices: str = "auto"
    precision: str = "32-true"
    workers: int = 0
    cache_bytes: int = 0
    validate_every: int = 500
    validate_images: int = 32
    save_every: int = 500
    keep: int = 2
    log_every: int = 50
    ema: float = 0.0
    tensorboard: bool = False
    bar: bool = True

    def __post_init__(self) -> None:
        for name in ("validate_every", "validate_images", "save_every", "keep", "log_every", "epochs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RunError(f"{name} = {value}: at least 1")
        if not 0 <= self.ema < 1:
            raise RunError(f"ema = {self.ema}: allowed is at least 0 and less than 1")
