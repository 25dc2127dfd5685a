"""Paired data sets as files: what `degrade synth`, `replay` and `verify` do, for Python."""
