"""`enhance benchmark`: a method against a reference at every stage and severity of a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import click
from tqdm import tqdm

import degrade
from degrade import figures, severity
from degrade.files import write_bytes
from degrade.images import image_io
from enhance.evaluation import evaluate, synthetic_cases
from enhance.graded import Graded, means

from .failures import say
from .mapping import open_structures
from .methods import METHOD_HELP, open_measured
from .options import Refusal, check_out, read_device, read_recipe
from .sources import SOURCE_HELP
from .writable import check_writable

_METRICS = ("PSNR", "SSIM", "SNR")


@click.command(
    epilog=f"""{METHOD_HELP}    any function of images (B, C, H, W) in [0, 1] to such, as FILE.pt2 or module:function
{SOURCE_HELP}
\b
Examples:
  enhance benchmark run "phantom:fundus?count=20&size=256" --recipe cofe-net --json run.json --plot run.png
  enhance benchmark mypackage.networks:denoise radiographs/ --recipe x-bdcnn --reference anscombe-nlm
"""
)
@click.argument("method")
@click.argument("source")
@click.option("--recipe", metavar="NAME", default="cofe-net", show_default=True, help="A name from 'degrade recipes'.")
@click.option(
    "--reference", metavar="METHOD", default="identity", show_default=True, help="What METHOD is compared with."
)
@click.option("--metric", type=click.Choice(_METRICS), default="PSNR", show_default=True)
@click.option("--size", type=click.IntRange(32, 65_536), metavar="PIXELS", help="Fit all images into such squares.")
@click.option("--tile", type=click.IntRange(64), metavar="PIXELS", help="Enhance in overlapping tiles of this side.")
@click.option("--seed", type=click.IntRange(-(2**63), 2**63 - 1), default=0, show_default=True)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N images.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N")
@click.option("--json", "json_out", type=click.Path(path_type=Path, dir_okay=False), help="Every mean, as JSON.")
@click.option(
    "--plot", "plot_out", type=click.Path(path_type=Path, dir_okay=False), help="A picture (needs Matplotlib)."
)
def benchmark(
    method: str,
    source: str,
    recipe: str,
    reference: str,
    metric: str,
    size: int | None,
    tile: int | None,
    seed: int,
    limit: int | None,
    device: str,
    json_out: Path | None,
    plot_out: Path | None,
) -> None:
    """Measures METHOD on good images of SOURCE, degraded at severity 1 to 5, by each stage of a recipe and by all.

    The degradations follow from seed and ids alone, so that everyone's numbers are of the same pictures. In parentheses
    is the difference to --reference, by default the degraded image itself.
    """
    for out in (json_out, plot_out):
        if out is not None:
            check_writable(out)
    if plot_out is not None:
        check_out(plot_out)
    place = read_device(device)
    model = type(read_recipe(recipe))
    if recipe not in degrade.RECIPES:
        raise Refusal("--recipe", f"{recipe!r}: allowed is one of {', '.join(degrade.RECIPES)}: their levels are known")
    rows = {method: open_measured(method, place, "METHOD"), reference: open_measured(reference, place, "--reference")}
    if len(rows) == 1:
        raise Refusal("--reference", f"{reference!r} is METHOD: give another one")
    found, _ = open_structures(source, None)
    found = found if limit is None else found.subset(list(found.ids[:limit]))
    stages = severity.stages(model)
    failed: dict[str, str] = {}
    values: dict[str, list[tuple[float, float]]] = {stage: [] for stage in stages}
    images = 0
    with tqdm(total=len(stages) * len(severity.LEVELS) * len(found), unit="image", leave=False, disable=None) as bar:
        for stage in stages:
            for level in severity.LEVELS:
                made_by = degrade.recipe(recipe, severity=level, stage=stage)
                cases = synthetic_cases(found, made_by, size=size, seed=seed, failed=failed)
                table = evaluate(rows, cases, device=place, tile=tile, failed=failed, look=lambda *_: bar.update())
                if not table.ids:
                    why = next(iter(failed.values()), "")
                    raise click.ClickException(f"no image of {source!r} could be used: {why}")
                values[stage].append(means(table.values, (method, reference), metric))
                images = len(table.ids)
    graded = Graded(metric, method, reference, images, values)
    say(f"{metric} of {images} images, {recipe}, seed {seed}: {method}, and its difference to {reference}")
    say(graded.text())
    say(f"mean difference {graded.gain():+.3f}")
    if failed:
        say(f"{len(failed)} images failed, such as {next(iter(failed.items()))}", err=True)
    if json_out is not None:
        content = {"recipe": recipe, "seed": seed, "size": size, **graded.to_record(), "failed": failed}
        write_bytes(json_out, json.dumps(content, indent=1).encode())
    if plot_out is not None:
        image_io.write(plot_out, figures.to_pixels(graded.plot(f"{recipe}, {images} images")))
