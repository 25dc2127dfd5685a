"""What `enhance evaluate` measures with: protocols, segmenters, graders and NIQE models, by its options."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Literal

import click
import torch

from degrade import stream
from enhance.evaluation import field_of_view, real_cases
from enhance.grading import Grader, open_grader
from enhance.inference import Enhancer
from enhance.metrics import NiqeModel, fit_niqe
from enhance.networks.base import EnhancementNetwork
from enhance.outsiders import OutsiderError, is_outsider
from enhance.protocols import OWN, PROTOCOLS, Protocol
from enhance.results import Results
from enhance.segmentation import SegmentationError, StructureFinder, open_finder

from .failures import Failures
from .options import Refusal


def read_protocol(text: str, enhancers: Mapping[str, Enhancer | Results]) -> Protocol:
    """The value of --protocol."""
    if text == "own":
        return OWN
    networks = {row.name for row in enhancers.values() if isinstance(row, EnhancementNetwork)}
    if text == "paper":
        if len(networks) != 1:
            which = f"METHOD has networks of {len(networks)} papers" if networks else "no METHOD is a run"
            raise Refusal("--protocol", f"'paper': {which}; name one: {', '.join(PROTOCOLS)}")
        text = networks.pop()
    if text not in PROTOCOLS:
        raise Refusal("--protocol", f"{text!r}: allowed is own, paper, or one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[text]


def compared_with(
    how: Protocol,
    against: Literal["truth", "reference"] | None,
    finder: StructureFinder | None,
    with_truth: bool,
    with_reference: bool,
) -> Protocol:
    """The protocol with what segmentations are compared with; refused where there is no such thing."""
    if finder is None:
        if against is not None:
            raise click.UsageError("--against says what --segmenter is compared with: give both")
        return how
    chosen = against or ("truth" if with_truth and how.against == "truth" else "reference")
    if chosen == "truth" and not with_truth:
        raise Refusal(
            "--against", "'truth': there are no masks of what the segmenter finds: --vessels, --discs, --layout"
        )
    if chosen == "reference" and not with_reference:
        raise Refusal(
            "--segmenter",
            "there is nothing to compare with: give masks (--vessels, --discs, --layout), or good images (--reference, "
            "--recipe)",
        )
    return replace(how, against=chosen)


def read_niqe_model(folder: str | None, size: int | None) -> NiqeModel | None:
    """Fit NIQE's model to the images of a folder, at the size of the evaluation, within their fields of view."""
    if folder is None:
        return None
    if folder.endswith((".npz", ".niqe", ".mat")):
        return _saved_model(folder)
    failed: dict[str, str] = {}
    cases = list(real_cases(open_images(folder, "--niqe"), None, field_of_view, size=size, failed=failed))
    Failures(list(failed.items())).tell(err=True, what="images of --niqe")
    patch = 96 if size is None else min(96, max(16, size // 8 * 2))
    if not cases:
        raise Refusal("--niqe", f"no image of {folder!r} can be used")
    try:
        return fit_niqe([case.image[None] for case in cases], [case.mask[None] for case in cases], patch)
    except ValueError as error:
        raise Refusal("--niqe", str(error)) from None


def _saved_model(file: str) -> NiqeModel:
    """A NIQE model of ours, or else the authors' from their file."""
    try:
        if not file.endswith(".mat"):
            with suppress(ValueError):
                return NiqeModel.load(file)
        return NiqeModel.published(file)
    except (ValueError, ModuleNotFoundError) as error:
        raise Refusal("--niqe", str(error)) from None
    except OSError as error:
        raise Refusal("--niqe", f"cannot read {file!r}: {error.strerror or error}") from None


def open_images(text: str, argument: str) -> stream.Source:
    try:
        return stream.open_source(text)
    except (stream.SourceError, ModuleNotFoundError) as error:
        raise Refusal(argument, str(error)) from None


def read_finder(text: str | None, place: torch.device) -> StructureFinder | None:
    if text is None:
        return None
    try:
        return open_finder(text, place)
    except SegmentationError as error:
        raise Refusal("--segmenter", str(error)) from None


def read_grader(text: str | None, place: torch.device) -> Grader | None:
    if text is None:
        return None
    if not is_outsider(text):
        raise Refusal("--grader", f"{text!r}: allowed is FILE.pt2 or module:function")
    try:
        return open_grader(text, place)
    except OutsiderError as error:
        raise Refusal("--grader", str(error)) from None
