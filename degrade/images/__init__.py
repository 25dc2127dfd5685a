"""Images and maps as integers and as floats: what their levels mean, decoding and encoding."""
