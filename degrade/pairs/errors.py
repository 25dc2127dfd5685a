"""The error of this package."""


class PairsError(ValueError):
    """A data set or an argument that cannot be used.

    Attributes:
        argument: name of the argument, as the command line has it (DEST, PARAMETERS, ...) or as Python has it.
    """

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(message)
        self.argument = argument
