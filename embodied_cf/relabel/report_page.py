"""Plain data into one self-contained HTML page. Every text is escaped; nothing is fetched."""

from collections.abc import Mapping, Sequence
from functools import cache, partial

import jinja2
from markupsafe import Markup

from embodied_cf.relabel.build import Setting
from embodied_cf.relabel.picture import Scale, draw_chunk
from embodied_cf.relabel.report_views import PALETTE, EpisodeView, LabelView


def render(template: str, setting: Setting, views: Sequence[EpisodeView], **values: object) -> str:
    """Return a page. Its chunks are drawn to one scale, that of all labels shown."""
    drawn = [label for view in views for label in view.labels()]
    chunks = [chunk for label in drawn for chunk in (label.chunk, label.real)]
    scale = Scale.over(chunks, setting.body.kind, setting.body.chunk_length, setting.spec.position_unit)
    commands = setting.profile.meaning(setting.body).vocabulary.names
    colours = {name: PALETTE[at % len(PALETTE)] for at, name in enumerate(commands)}
    return (
        _environment()
        .get_template(template)
        .render(
            setting=setting, views=views, colours=colours, inks=_inks(colours), draw=partial(_draw, scale), **values
        )
    )


def _draw(scale: Scale, label: LabelView) -> Markup:
    return draw_chunk(label.chunk, label.real, scale)


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.PackageLoader("embodied_cf.relabel", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "percent": percent, "flat": flat, "words": words, "without": without}
    return environment


def number(value: object) -> str:
    """Return a number as people read it: 1,234,567 or 0.42; a dash for None, other things as they are.

    >>> number(25000), number(0.4249), number(1234.5), number(None)
    ('25,000', '0.425', '1,234.5', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def percent(share: float | None) -> str:
    """Return a share as percent, a dash for None; a small one is never rounded to nothing, nor a large one to all.

    >>> percent(0.2174), percent(1.0), percent(0.0001), percent(0.9999)
    ('21.7 %', '100 %', '< 0.1 %', '> 99.9 %')
    """
    if share is None:
        return "–"
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %".replace(".0 %", " %")


def flat(table: Mapping[str, object]) -> dict[str, object]:
    """Return a table of tables as one, with names joined: {"faults": {"timeout": 2}} is {"faults: timeout": 2}."""
    rows: dict[str, object] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            rows |= {f"{name}: {inner}": item for inner, item in flat(value).items()}
        else:
            rows[name] = value
    return rows


def without(table: Mapping[str, object], name: str) -> dict[str, object]:
    """Return a table less one entry."""
    return {key: value for key, value in table.items() if key != name}


def words(name: str) -> str:
    """Return a field's name as words: steps_per_second is "steps per second"."""
    return name.replace("_", " ")


def _inks(colours: Mapping[str, str]) -> dict[str, str]:
    """Return for each command the text colour that can be read on its own colour."""
    return {name: "#fff" if _luminance(colour) < 0.18 else "#111" for name, colour in colours.items()}


def _luminance(colour: str) -> float:
    """Return the relative luminance of #RRGGBB in [0, 1] (WCAG 2, gamma taken as 2.2)."""
    red, green, blue = ((int(colour[at : at + 2], 16) / 255) ** 2.2 for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
