"""The reference of the interface as a page, made here from the OpenAPI: nothing is fetched."""

from collections.abc import Iterator, Mapping
from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)
Node = Mapping[str, object]

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
h2{margin-top:2.5rem;border-bottom:1px solid #ccc} h3{margin:1.5rem 0 .2rem}
code,pre{font-family:ui-monospace,monospace;font-size:13px} pre{background:#f5f5f5;padding:.6rem}
table{border-collapse:collapse}
td,th{text-align:left;padding:.15rem .8rem .15rem 0;vertical-align:top}
.verb{display:inline-block;min-width:4rem;font-weight:600} .soft{color:#666}
"""
_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


@router.get("/docs")
async def reference(request: Request) -> HTMLResponse:
    schema: Node = request.app.openapi()
    return HTMLResponse("".join(_page(schema)), headers=_HEADERS)


def _page(schema: Node) -> Iterator[str]:
    info = _node(schema, "info")
    title = escape(str(info["title"]))
    yield f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
    yield f"<h1>{title} {escape(str(info['version']))}</h1>"
    yield f"<pre>{escape(str(info.get('description', '')).strip())}</pre>"
    yield '<p>For machines: <a href="/openapi.json">openapi.json</a></p><h2>Resources</h2>'
    for path, verbs in _node(schema, "paths").items():
        for verb in _mapping(verbs):
            yield from _operation(path, verb, _node(verbs, verb))
    yield "<h2>Schemas</h2>"
    for name, model in _node(_node(schema, "components"), "schemas").items():
        yield from _model(name, _mapping(model))


def _operation(path: str, verb: str, operation: Node) -> Iterator[str]:
    yield f"<h3><code><span class=verb>{escape(verb.upper())}</span>{escape(path)}</code></h3>"
    yield f"<div>{escape(str(operation.get('summary', '')))}</div>"
    if text := operation.get("description"):
        yield f"<div class=soft>{escape(str(text))}</div>"
    yield "<table>"
    for parameter in _list(operation, "parameters"):
        where = f"{parameter['in']}{', required' if parameter.get('required') else ''}"
        yield _row(parameter["name"], where, parameter.get("description", ""))
    if body := operation.get("requestBody"):
        yield _row("body", "", ", ".join(_names(body)))
    for status, answer in _node(operation, "responses").items():
        slugs = ", ".join(_slugs(_mapping(answer))) or ", ".join(_names(answer))
        yield _row(status, str(_mapping(answer).get("description", "")), slugs)
    yield "</table>"


def _model(name: str, model: Node) -> Iterator[str]:
    yield f'<h3 id="{escape(name)}"><code>{escape(name)}</code></h3>'
    yield f"<div class=soft>{escape(str(model.get('description', '')))}</div><table>"
    required = model.get("required", ())
    for field, shape in _node(model, "properties").items():
        needed = isinstance(required, list) and field in required
        kind = ", ".join(_names(shape)) or str(_mapping(shape).get("type", ""))
        text = _mapping(shape).get("description", "")
        yield _row(field, f"{kind}{' *' if needed else ''}", text)
    yield "</table>"


def _row(*cells: object) -> str:
    return "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"


def _names(part: object) -> Iterator[str]:
    """Names of the schemas that a part of the document refers to."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            if key == "$ref":
                yield str(value).rpartition("/")[2]
            else:
                yield from _names(value)
    elif isinstance(part, list):
        for one in part:
            yield from _names(one)


def _slugs(answer: Node) -> Iterator[str]:
    for content in _node(answer, "content").values():
        yield from _node(content, "examples")


def _node(part: object, name: str) -> Node:
    return _mapping(_mapping(part).get(name))


def _mapping(part: object) -> Node:
    return part if isinstance(part, Mapping) else {}


def _list(part: Node, name: str) -> list[Node]:
    found = part.get(name)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
