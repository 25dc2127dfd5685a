"""The old name of `degrade.images.image_io`, for one version."""

import warnings

from degrade.images.image_io import *  # noqa: F403

warnings.warn(
    "degrade.image_io is now degrade.images.image_io; the old name goes in 0.4", DeprecationWarning, stacklevel=2
)
