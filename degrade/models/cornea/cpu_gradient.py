"""The cornea model of a batch on a CPU with gradients: the loops of `cpu`, and loops for the way back.

What a stage was given is computed again, one image at a time, a thread to each core. An image's derivatives are the
same alone and in any batch, with any number of threads.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from degrade.backend import Operation
from degrade.call import Call
from degrade.gradients import Back, Definition, Derivatives, with_gradients
from degrade.jit.threads import share, threads_for
from degrade.memory import empty
from degrade.models.cornea import cpu, table
from degrade.models.cornea import cpu_gradient_images as loops
from degrade.models.poisson_gaussian.cpu_gradient import noise_adjoint

_BACKWARDS = Operation("gradients of cornea", cpu="degrade.models.cornea.cpu_gradient:backwards")


def degrade(definition: Definition, call: Call) -> Tensor:
    """`cpu.degrade` with derivatives; second ones are the definition's."""
    return with_gradients(cpu.degrade, _BACKWARDS, definition, call)


def backwards(back: Back) -> Derivatives:
    """The derivatives in images and parameters, by loops."""
    call = back.call
    batch, channels, height, width = call.image.shape
    images, _, rows = call.arrays()
    to_rows = np.zeros(rows.shape)
    to_images = empty(call.image.shape, torch.float32) if back.image_too else None
    photons, sigma, keys = cpu.noise_of(rows)
    gradient, turns = back.gradient.detach().to(torch.float32).numpy(), itertools.count()
    scratch = empty((threads_for(batch), 3 * channels + 1, height, width), torch.float32).numpy()
    x, y = cpu.places_of(width), cpu.places_of(height)
    stages = {table.PARAMETERS[name].stage for name in back.names}
    deeper, blur_too = back.image_too or bool(stages - {"noise"}), "blur" in stages

    def work(thread: int) -> None:
        lit, blurred, own, line = np.split(scratch[thread], [channels, 2 * channels, 3 * channels])
        while (i := next(turns)) < batch:
            g = own if to_images is None else to_images[i].numpy()
            np.copyto(g, gradient[i])
            loops.blurred(images[i], rows[i], x, y, lit, blurred)
            one = slice(i, i + 1)
            flat = blurred.reshape(1, -1), photons[one], sigma[one], keys[one]
            sums = noise_adjoint(*flat, True, g.reshape(1, -1), 1)[0]
            to_rows[i, table.ETA] += sums[0] * table.LEVELS
            to_rows[i, table.SIGMA] += sums[1] / table.LEVELS
            if deeper:
                loops.optics_adjoint(images[i], rows[i], x, y, lit, blur_too, line[0], g, to_rows[i])

    share(work, len(scratch))
    return to_images, *back.of_rows(torch.from_numpy(to_rows))
