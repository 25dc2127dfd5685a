"""The commands `degrade` and `enhance`: parse, call, report."""
