"""Write docs/parameters.md from the models' tables of parameters.

python docs/make_parameters.py
"""

from __future__ import annotations

from pathlib import Path

from degrade.models import Cataract, Cornea, Fundus, PoissonGaussian

PAGE = Path(__file__).with_name("parameters.md")

TEXT = """# Parameters

`d.draw(keys, height, width)` returns what is done to each sample, a dictionary of tensors with one row per key;
`d.apply(image, parameters, mask)` does it. `degrade synth` writes them, a line per image, into `manifest.jsonl`. This
page is made from the models' tables (`d.parameter_table`) by `python docs/make_parameters.py`.

Lengths are fractions of the frame's shorter side, points are fractions of its width and height with pixel *i* centered
at (*i* + 1/2) / *W*. So the same parameters mean the same at every resolution. The published codes draw whole pixels on
frames of 512: so do the recipes, then divide by 512.

The frame of fundus photographs is the square around the bounding box of the field of view (mask above 0.5), as the
released code crops to it, so black borders change nothing inside the disc. Outside the mask is black before the first
stage, and so is what of the square lies beyond the file. With the setting `frame = "image"`, and for X-rays and cornea,
it is the whole file. `apply(..., frame=(B, 4))` takes another: left, top, width and height in pixels.

`apply` refuses parameters outside the allowed values by name. Parameters on a GPU are moved into them instead, so that
no call waits for the GPU, unless the recipe was made with `validate=True`. At the neutral value a stage changes
nothing; `d.stages(parameters)` uses it to show each stage alone.

## Fundus (`cofe-net`, `cofe-net-paper`, `pce-net`)

In the order in which the stages act. *N* is the largest number of spots of the recipe.

{fundus}
A **kernel** is what the published codes pass to OpenCV: a Gaussian of standard deviation sigma *cut off* at a number of
taps. With the published numbers (sigma 5 to 15, at most 7 taps) it is nearly a box, so the number of taps sets the blur
and sigma hardly matters: the standard deviation that acts is about sqrt((k² - 1) / 12) pixels, 0 to 2 at 512. At other
resolutions the kernel is scaled by its variance, so one tap is no blur at any of them; kernels between the odd
numbers of taps have a last pair with a fraction of the weight. Kernels of halo and hole that would be wider than two
sides (frames of 3:1 and extreme settings) are cut to that.

With *a* the mean inside the field of view of the image that enters the hole, the disk darkens by depth + slope *a* if
*a* exceeds the threshold.

**What is drawn per sample:** everything. Nothing is shared between the samples of a batch, and within a sample nothing
is shared between stages. All channels share the blur, the hole and the spots; noise is drawn per pixel and channel.

**Clipping:** brightness, contrast, saturation, halo, hole, spots (once, after all), blur and noise each end in
clip(0, 1). **Outside the mask** the result is black.

## Cataract

{cataract}
## X-ray (`x-bdcnn`, `x-bdcnn-released`)

The largest eta is 1e6 / `levels` of the recipe: a million photons at full white.

{xray}
## Cornea

{cornea}
## Gradients

`apply` is differentiable in the image and in the real-valued parameters, with these exceptions. At the default softness
of 0 the disks of halo, hole and spots are the release's hard ones, whose pixels jump: there is no gradient in their
centers and radii. A `softness` of about 2/512 in the recipe looks the same and gives it. `hole_threshold` has none.
Clips have the gradients of their pieces.
"""


def page() -> str:
    """The text of the page."""
    models = {"fundus": Fundus, "cataract": Cataract, "cornea": Cornea}
    tables = {name: model.parameter_table.to_markdown() for name, model in models.items()}
    return TEXT.format(**tables, xray=PoissonGaussian().parameter_table.to_markdown())


if __name__ == "__main__":
    PAGE.write_text(page())
