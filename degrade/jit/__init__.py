"""The degradations as loops for a CPU, compiled by Numba (extra "fast"): each beside the functional it must equal."""
