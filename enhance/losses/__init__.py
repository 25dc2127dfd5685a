"""Published losses of the five networks: functions of tensors that return a scalar, always a mean.

A mean, not a sum, so that no weight has to change with the batch or the image size. The weight in front of a term
belongs to the trainer, unless it acts inside the paper's own formula.
"""

from enhance.losses.adversarial import lsgan_discriminator, lsgan_generator, ssp_discriminator, ssp_generator
from enhance.losses.denoising import asymmetric_level, level_total_variation, mse_ssim
from enhance.losses.restoration import charbonnier, edge, laplacian
from enhance.losses.sequence import feature_pyramid_constraint, seqlc_l1, spatial_pyramid
from enhance.losses.structure import illumination_uniformity, texture
from enhance.losses.teacher import consistency, gaussian_ramp_up, multi_scale_segmentation
from enhance.losses.two_way import feature_consistent, identity, image_consistent

__all__ = [
    "asymmetric_level",
    "charbonnier",
    "consistency",
    "edge",
    "feature_consistent",
    "feature_pyramid_constraint",
    "gaussian_ramp_up",
    "identity",
    "illumination_uniformity",
    "image_consistent",
    "laplacian",
    "level_total_variation",
    "lsgan_discriminator",
    "lsgan_generator",
    "mse_ssim",
    "multi_scale_segmentation",
    "seqlc_l1",
    "spatial_pyramid",
    "ssp_discriminator",
    "ssp_generator",
    "texture",
]
