"""Fused Triton kernels for NVIDIA GPUs, each equal to the plain torch it stands in for. Import it only where it serves:
nothing else in this package needs Triton."""
