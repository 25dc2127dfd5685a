"""Errors that several rooms raise."""


class ImageError(ValueError):
    """A file that cannot be read as an image. The message is one line naming the file and the cause."""
