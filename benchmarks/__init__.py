"""One command, `python -m benchmarks`, prints every table of figures in docs/benchmarks.md."""
