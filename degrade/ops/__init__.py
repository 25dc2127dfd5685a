"""Pure tensor functions that the models are composed of: no randomness, no state, batched, differentiable.

Shapes, unless a function says otherwise: images (B, C, H, W) in [0, 1]; parameters (B,) or (B, 2), the latter as
(x, y). Lengths are fractions of the image's shorter side, so they mean the same at every resolution; points are
fractions of width and height.
"""
