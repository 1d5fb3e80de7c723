"""The pages' templates. Every text is escaped; nothing is fetched."""

from functools import cache

import jinja2


def template(name: str) -> jinja2.Template:
    """Return a template of this package."""
    return _environment().get_template(name)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("embodied_cf.explain", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
