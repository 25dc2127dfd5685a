"""The degradations as transforms of kornia, torchvision, MONAI, TorchIO and albumentations: a module each.

Each module imports its library, so none is imported here.
"""
