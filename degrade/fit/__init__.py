"""Estimate degradation parameters from real images."""
