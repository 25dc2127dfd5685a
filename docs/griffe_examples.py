"""An extension of griffe: doctests in docstrings become blocks of code on the site's reference pages."""

from __future__ import annotations

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"(?:^|(?<=\n))([ ]*)>>> .*?(?=\n[ ]*\n|\Z)", re.DOTALL)


class Examples(griffe.Extension):
    """Fence each run of lines that begins with `>>>` and ends with an empty line."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called with each class, function and module."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """The docstring with its examples in fences.

    >>> print(fenced("Add.\\n\\n>>> 1 + 1\\n2\\n\\nEnd.").replace("`", "'"))
    Add.
    <BLANKLINE>
    '''pycon
    >>> 1 + 1
    2
    '''
    <BLANKLINE>
    End.
    """
    return EXAMPLE.sub(lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```", text)
