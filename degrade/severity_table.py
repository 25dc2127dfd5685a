"""Strengths of the five levels of severity; written by `python -m benchmarks.severity`."""

from __future__ import annotations

from collections.abc import Mapping

Levels = tuple[float, float, float, float, float]

STRENGTHS: Mapping[str, Mapping[str, Levels]] = {
    "cofe-net": {
        "all": (0.647, 0.8021, 1.0, 1.235, 1.675),
        "light": (0.6219, 0.7863, 1.0, 1.282, 1.673),
        "spots": (0.7423, 0.8595, 1.0, 1.211, 3.515),
        "blur": (0.6736, 0.8738, 1.0, 1.184, 1.354),
    },
    "cofe-net-paper": {
        "all": (0.6641, 0.8122, 1.0, 1.262, 1.79),
        "light": (0.6299, 0.7903, 1.0, 1.34, 1.749),
        "spots": (0.7423, 0.8595, 1.0, 1.953, 3.999),
        "blur": (0.6921, 0.8918, 1.0, 1.191, 1.402),
    },
    "pce-net": {
        "all": (0.6565, 0.8087, 1.0, 1.24, 1.704),
        "light": (0.6282, 0.7903, 1.0, 1.34, 1.744),
        "spots": (0.7423, 0.8595, 1.0, 1.211, 3.515),
        "blur": (0.6736, 0.8738, 1.0, 1.184, 1.354),
    },
    "cataract": {
        "all": (0.6297, 0.7943, 1.0, 1.273, 3.081),
        "veil": (0.631, 0.7943, 1.0, 1.276, 3.86),
        "color": (0.6263, 0.7911, 1.0, 1.265, 1.604),
    },
    "x-bdcnn": {
        "noise": (0.6246, 0.7895, 1.0, 1.271, 1.622),
    },
    "x-bdcnn-released": {
        "noise": (0.6316, 0.7895, 1.0, 1.263, 1.612),
    },
    "cornea": {
        "all": (0.6253, 0.7839, 1.0, 1.298, 1.764),
        "illumination": (0.6304, 0.794, 1.0, 1.259, 1.586),
        "blur": (0.7573, 0.8697, 1.0, 1.177, 1.516),
        "noise": (0.6308, 0.7943, 1.0, 1.259, 1.586),
    },
}
"""By recipe and stage."""
