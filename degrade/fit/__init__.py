"""From real images back to parameters."""
