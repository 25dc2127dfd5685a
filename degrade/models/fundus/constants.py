"""Constants of the Cofe-Net degradations that the definition and its compiled twins share."""

TYPES = ("001", "010", "011", "100", "101", "110", "111")
"""The seven non-empty subsets of blur, spots and illumination, a digit each, in this order."""

BLUR, SPOTS, ILLUMINATION = 4, 2, 1
"""The bits of the parameter `type`, whose binary digits are the published three-digit codes."""

PROBABILITIES = {"illumination_probability": ILLUMINATION, "spots_probability": SPOTS, "blur_probability": BLUR}
"""The settings that say how often each stage acts, with `type="independent"`, and the stage's bit."""

TINTS = ((251, 249, 246), (141, 238, 238), (177, 195, 147))
"""Colors of the light leak, of 255: white, cyan, green-yellow."""

WIDEST = 2
"""Largest kernel of halo and hole, in units of the side: wider ones would be reflected at the borders twice."""

SMOOTH = 36
"""Pixels of kernel for each pixel between a grid's nodes: keeps the interpolation under half a grey level."""
