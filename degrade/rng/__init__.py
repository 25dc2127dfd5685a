"""Random numbers addressed by (key, stream, index): `keyed` is the definition, `cpu` and `gpu` its compiled twins."""
