"""Poisson-Gaussian noise for every pixel from keys: shared by the X-ray and the cornea models."""
