"""The degradations as other libraries' transforms: `degrade.adapters.kornia` and `degrade.adapters.torchvision`.

Each module imports its library, so neither is imported here.
"""
