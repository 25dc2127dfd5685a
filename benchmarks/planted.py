"""python -m benchmarks.planted GOOD: fit recipes that were planted, and say how well they are found again.

The good photographs are divided 60 / 60 / 31 by camera (what stands before the first "_" of a file's name). Hidden
recipes are drawn from the prior of `Space.prior`: each range's width times a log-uniform factor in [0.5, 2], its
middle moved by up to half its width; each stage's probability uniform. One part is degraded by a hidden recipe and is
the poor set; the fit has the other part and never sees the pairs; the rest is kept out for the comparison.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from degrade import stream
from degrade.fit.compare import compare_features
from degrade.fit.distance import Scale
from degrade.fit.inference import Estimate, Inference, Simulations, simulate
from degrade.fit.recipe import IDENTIFIED, MOVED
from degrade.fit.sets import prepare
from degrade.fit.simulate import Pictures, describe_degraded, set_keys
from degrade.fit.space import Space
from degrade.pairs.items import Items

_PARTS = (60, 60, 31)
_HIDDEN_SEED = 7


def divide(good: Pictures, seed: int = 0) -> list[Pictures]:
    """Three parts of the photographs, every camera in each by its share."""
    cameras: dict[str, list[int]] = {}
    for number, name in enumerate(good.names):
        cameras.setdefault(Path(name).name.split("_")[0], []).append(number)
    generator = torch.Generator().manual_seed(seed)
    parts: list[list[int]] = [[] for _ in _PARTS]
    given = 0
    for _, members in sorted(cameras.items()):
        for k in torch.randperm(len(members), generator=generator).tolist():
            given += 1
            owed = [given * share / sum(_PARTS) - len(part) for share, part in zip(_PARTS, parts, strict=True)]
            parts[owed.index(max(owed))].append(members[k])
    return [good.take(torch.tensor(sorted(part))) for part in parts]


def one(
    space: Space,
    truth: Tensor,
    first: Simulations,
    shared: Inference,
    parts: list[Pictures],
    sets: int,
    seed: int,
) -> dict[str, Any]:
    """Plant a recipe, fit it, and measure: after the first round, and after one around what that said."""
    began = time.perf_counter()
    base, hidden, rest = parts
    poor, _ = describe_degraded(space.recipe(truth), hidden, set_keys(seed, len(hidden), 99))
    estimate = shared(poor)
    estimates, skill = [estimate], estimate.skill
    if sets:
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randint(len(estimate.residuals), (sets,), generator=generator)
        nearby = space.within(estimate.vector + 1.5 * estimate.residuals[rows])
        made = simulate(space, base, nearby, len(hidden), 1000 + seed)
        estimates.append(Inference(space, first + made, len(nearby))(poor))
    found: dict[str, Any] = {
        "truth": truth.tolist(),
        "skill": skill.tolist(),
        "seconds": time.perf_counter() - began,
        "rounds": [],
    }
    for estimate in estimates:
        moved = torch.where(skill >= MOVED, estimate.vector, space.vector())
        found["rounds"].append(_round(space, truth, moved, estimate, rest, base, seed))
    found["stock"] = _areas(space, truth, space.vector(), rest, base, seed)
    found["same"] = _areas(space, truth, truth, rest, base, seed)
    return found


def _round(
    space: Space, truth: Tensor, moved: Tensor, estimate: Estimate, rest: Pictures, base: Pictures, seed: int
) -> dict[str, Any]:
    low, high = estimate.interval()
    inside = (truth >= low - 1e-9) & (truth <= high + 1e-9)
    return {
        "vector": moved.tolist(),
        "inside": inside.tolist(),
        "skill": estimate.skill.tolist(),
        **_areas(space, truth, moved, rest, base, seed),
    }


def _areas(space: Space, truth: Tensor, vector: Tensor, rest: Pictures, others: Pictures, seed: int) -> dict[str, Any]:
    """Kept-out photographs degraded by the truth against other photographs degraded by a vector's recipe.

    The photographs must be others: of the same ones twice a classifier learns the photograph, and is wrong about it.
    """
    real, _ = describe_degraded(space.recipe(truth), rest, set_keys(seed, len(rest), 101))
    few = others.take(torch.arange(0, len(others), 2))
    made, _ = describe_degraded(space.recipe(vector), few, set_keys(seed, len(few), 102))
    compared = compare_features(real, made, Scale.of(real, 1e-3), rest.images.shape[1])
    return {"auc": compared.auc, "energy": compared.energy, "p": compared.p_value}


def summary(space: Space, results: list[dict[str, Any]]) -> str:
    """The figures as a table in Markdown."""
    widths = space.prior_widths()
    truth = torch.tensor([r["truth"] for r in results])
    identified = torch.tensor([r["skill"] for r in results]).mean(0) >= IDENTIFIED
    chance = torch.tensor([label.endswith("_probability") for label in space.labels])
    ends = identified & ~chance
    stock = ((space.vector() - truth).abs() / widths)[:, ends]
    lines = [
        f"{len(results)} hidden recipes; {int(ends.sum())} of {int((~chance).sum())} range ends identifiable",
        "",
        "| | median error | 90th percentile | probabilities: median | within 0.1 | AUC | largest | coverage of 90 % |",
        "|---|---|---|---|---|---|---|---|",
        f"| stock | {stock.median():.3f} | {stock.flatten().quantile(0.9):.3f} | | |"
        f" {torch.tensor([r['stock']['auc'] for r in results]).median():.2f} | | |",
    ]
    for number in range(len(results[0]["rounds"])):
        rounds = [r["rounds"][number] for r in results]
        error = (torch.tensor([r["vector"] for r in rounds]) - truth).abs() / widths
        areas = torch.tensor([r["auc"] for r in rounds])
        inside = torch.tensor([r["inside"] for r in rounds]).double()
        chances = error[:, chance]
        within = (chances <= 0.1).double().mean() if chances.numel() else float("nan")
        lines.append(
            f"| round {number + 1} | {error[:, ends].median():.3f} | {error[:, ends].flatten().quantile(0.9):.3f} |"
            f" {chances.median() if chances.numel() else float('nan'):.3f} | {within:.2f} |"
            f" {areas.median():.2f} | {areas.max():.2f} | {inside[:, identified].mean():.2f} |"
        )
    same = torch.tensor([r["same"]["auc"] for r in results])
    lines.append(f"| truth against itself | | | | | {same.median():.2f} | {same.quantile(0.95):.2f} (95 %) | |")
    last = torch.tensor([r["rounds"][-1]["vector"] for r in results])
    lines += ["", "| number | skill | median error, last round | stock |", "|---|---|---|---|"]
    skill = torch.tensor([r["skill"] for r in results]).mean(0)
    for at, label in enumerate(space.labels):
        own, before = ((v[..., at] - truth[:, at]).abs() / widths[at] for v in (last, space.vector()))
        lines.append(f"| `{label}` | {skill[at]:.2f} | {own.median():.3f} | {before.median():.3f} |")
    lines += ["", f"seconds per fit after the shared round: {sum(r['seconds'] for r in results) / len(results):.0f}"]
    return "\n".join(lines)


@click.command()
@click.argument("good")
@click.option("--recipe", default="cofe-net-paper", show_default=True)
@click.option("--count", default=20, show_default=True, help="Hidden recipes.")
@click.option("--sets", default=200, show_default=True, help="Simulated sets of the first round, which all share.")
@click.option("--more", default=80, show_default=True, help="Simulated sets of the second round, for each; 0: none.")
@click.option("--size", default=256, show_default=True, help="Pixels.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("planted"), show_default=True)
def main(good: str, recipe: str, count: int, sets: int, more: int, size: int, out: Path) -> None:
    """Plant recipes in the photographs of GOOD, find them again, and write OUT.json and OUT.md as it goes on."""
    items = list(Items(stream.open_source(good)))
    pictures, warnings = prepare(
        (item.load() for item in items), 3, size, [item.source for item in items], "photographs"
    )
    for warning in warnings:
        click.echo(warning, err=True)
    parts = divide(pictures)
    space = Space.of(recipe)
    first = simulate(
        space,
        parts[0],
        space.prior(sets, torch.Generator().manual_seed(0)),
        len(parts[1]),
        progress=lambda done, total: click.echo(f"{done} of {total}", err=True) if done % 20 == 0 else None,
    )
    hidden = space.prior(count, torch.Generator().manual_seed(_HIDDEN_SEED))
    shared, results = Inference(space, first), list[dict[str, Any]]()
    for number, truth in enumerate(hidden):
        results.append(one(space, truth, first, shared, parts, more, number))
        out.with_suffix(".json").write_text(json.dumps(results))
        text = summary(space, results)
        out.with_suffix(".md").write_text(text + "\n")
        click.echo(f"\n{text}")


if __name__ == "__main__":
    main()
