"""`enhance evaluate --report`: tables and pictures as one HTML file, which needs nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path

import degrade
from degrade.files import write_bytes
from degrade.images import image_io
from enhance.table import LOWER_IS_BETTER, Table

from . import sheet

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1e1e1e; max-width: 1200px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0 2em } th, td { padding: .3em .9em; text-align: right }
th:first-child, td:first-child { text-align: left } tr { border-bottom: 1px solid #ddd }
.best { font-weight: 700 } img { max-width: 100% } small, .note { color: #666 }
"""


def write(
    file: Path, title: str, protocol: str, tables: Mapping[str, Table], rows: Mapping[str, list[sheet.Cell]]
) -> None:
    """Write the file.

    Args:
        file: to write.
        title: what was measured.
        protocol: how, in words.
        tables: by heading; the first is of all images.
        rows: pictures, as for `sheet.sheet`; none leaves them out.
    """
    parts = [f"<h1>{escape(title)}</h1>", f'<p class="note">{escape(protocol)}</p>']
    for heading, table in tables.items():
        parts += [f"<h2>{escape(heading)}</h2>", _table(table)]
    whole = next(iter(tables.values()))
    if whole.failed:
        failed = "".join(f"<li>{escape(id_)}: {escape(why)}</li>" for id_, why in whole.failed.items())
        parts.append(f"<h2>Images that could not be used</h2><ul>{failed}</ul>")
    if rows:
        picture = image_io.encode(sheet.pixels(sheet.sheet("", dict(rows), 256)), "png")
        data = base64.b64encode(picture).decode()
        parts.append(f'<h2>Pictures</h2><img alt="inputs and results" src="data:image/png;base64,{data}">')
    version = f'<p class="note">degrade-enhance {escape(degrade.__version__)}</p>'
    head = f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    page = f'<!doctype html><html lang="en"><meta charset="utf-8">{head}<body>{"".join(parts)}{version}</body></html>'
    write_bytes(file, page.encode())


def _table(table: Table) -> str:
    """Mean and deviation by method and metric; the best mean of each metric is bold, the input apart."""
    summary = table.summary()
    names = list(dict.fromkeys(name for columns in summary.values() for name in columns))
    best = {name: _best(summary, name) for name in names}
    lines = ["<tr><th></th>" + "".join(f"<th>{escape(name)} {_arrow(name)}</th>" for name in names) + "</tr>"]
    for method, columns in summary.items():
        cells = []
        for name in names:
            found = columns.get(name)
            if found is None or not found["images"]:
                cells.append("<td></td>")
                continue
            spread = f" <small>± {found['std']:.2g}</small>" if found["images"] > 1 else ""
            mark = ' class="best"' if method == best[name] else ""
            cells.append(f"<td{mark}>{found['mean']:.4g}{spread}</td>")
        lines.append(f"<tr><td>{escape(method)}</td>{''.join(cells)}</tr>")
    return f'<p class="note">{len(table.ids)} images: mean ± standard deviation</p><table>{"".join(lines)}</table>'


def _best(summary: Mapping[str, Mapping[str, Mapping[str, float]]], metric: str) -> str | None:
    """The method with the best mean; None where there are fewer than two."""
    means = {method: columns[metric]["mean"] for method, columns in summary.items() if metric in columns}
    means = {method: mean for method, mean in means.items() if mean == mean}
    if len(means) < 2:
        return None
    return (min if metric.split()[-1] in LOWER_IS_BETTER else max)(means, key=lambda method: means[method])


def _arrow(metric: str) -> str:
    return "↓" if metric.split()[-1] in LOWER_IS_BETTER else "↑"
