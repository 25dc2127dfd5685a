"""The error of this package."""


class PairsError(ValueError):
    """A data set or an argument that cannot be used.

    Attributes:
        argument: which one, as the command line calls it: DEST, PARAMETERS, ...
    """

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(message)
        self.argument = argument
