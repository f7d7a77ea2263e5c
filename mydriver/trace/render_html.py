# SPDX-License-Identifier: Apache-2.0
"""A trace as one HTML page: no script, no other resource."""

from collections.abc import Iterator
import string

from mydriver.trace import record, render_text, safe, steps, trace

#: Width of the waterfall's parts and height of a row, in SVG units.
_NAMES, _BARS, _AFTER, _ROW = 460, 560, 190, 22
#: Steps that are drawn, at most.
_STEPS_MAX = 300
_TICKS = 5

_PAGE = string.Template('''<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2430;
  background: #fff; margin: 2em auto; max-width: 72em; padding: 0 1.5em; }
h1 { font-size: 1.5em; margin: 0 0 .3em; }
h2 { font-size: 1.1em; margin: 1.8em 0 .5em; }
p { margin: .3em 0; }
code, svg text, .mono { font-family: ui-monospace, "DejaVu Sans Mono",
  monospace; font-size: 13px; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .25em .8em .25em 0; vertical-align: top;
  border-bottom: 1px solid #e3e7ec; }
td.n, th.n { text-align: right; white-space: nowrap; }
td.w { overflow-wrap: anywhere; }
.cause { border-left: 5px solid #b3261e; background: #fdf0ef;
  padding: .6em 1em; margin: 1em 0; overflow-wrap: anywhere; }
.ok { color: #146c3c; } .failed { color: #b3261e; }
.unfinished { color: #8a5a00; }
svg { display: block; width: 100%; height: auto; }
.grid { stroke: #e3e7ec; } .tick { fill: #667085; }
.label { fill: #1c2430; } .time { fill: #475467; }
details { margin-top: 1.8em; } summary { cursor: pointer; font-weight: 600; }
</style>
</head>
<body>
$body
</body>
</html>
''')

#: Colours of the services; also told apart by their names.
_COLORS = (('nova-api', '#7a5195'), ('nova-compute', '#2f6db5'),
           ('nova-', '#58508d'), ('cinder-api', '#bc6c25'),
           ('cinder-volume', '#2a8c6a'), ('cinder-', '#8a6d3b'))
_OTHER, _FAILED = '#667085', '#b3261e'


def render(found: trace.Trace) -> str:
    """Return the page of a trace."""
    title = f'{found.flow.kind} {found.outcome}: {found.flow.key}'
    return _PAGE.substitute(title=safe.markup(title),
                            body='\n'.join(_body(found)))


def _body(found: trace.Trace) -> Iterator[str]:
    total = found.end - found.start
    outcome, _, word = render_text.outcome(found).partition(' ')
    yield (f'<h1>{safe.markup(found.flow.kind.capitalize())} '
           f'<span class="{outcome}">{outcome}</span> {word} '
           f'{safe.duration(total)}</h1>')
    yield (f'<p>Request <code>{safe.markup(found.flow.key)}</code>, started '
           f'{safe.markup(record.clock(found.start))}</p>')
    if found.last_step:
        said = render_text.last_step(found.last_step)
        yield (f'<p><strong>{safe.markup(said[:1].upper() + said[1:])}'
               '</strong></p>')
    if found.flow.volumes:
        yield ('<p>Volume ' + ', '.join(
            f'<code>{safe.markup(v)}</code>'
            for v in sorted(found.flow.volumes)[:5]) + '</p>')
    yield from _cause(found)
    yield '<h2>Steps</h2>'
    yield from _waterfall(found)
    yield '<h2>Where the time went</h2>'
    yield from _shares(found)
    yield from _remarks(found)
    yield from _proofs(found)
    yield from _log(found)


def _cause(found: trace.Trace) -> Iterator[str]:
    if found.cause is None:
        return
    head, *rest = render_text.explained(found.cause)
    yield f'<div class="cause"><p><strong>{safe.markup(head)}</strong></p>'
    for text in rest:
        yield f'<p>{safe.markup(text, 1000)}</p>'
    for log, text in found.consequences:
        yield (f'<p>Consequence: {safe.markup(log, 60)}: '
               f'{safe.markup(text, 300)}</p>')
    yield '</div>'


def _waterfall(found: trace.Trace) -> Iterator[str]:
    """Draw a row for each step, all on one axis of time."""
    shown = render_text.nested(found)[:_STEPS_MAX]
    height = (len(shown) + 1) * _ROW + 6
    width = _NAMES + _BARS + _AFTER
    total = max(found.end - found.start, 1e-6)
    yield (f'<svg viewBox="0 0 {width} {height}" role="img" '
           'aria-label="Steps on an axis of time; the table below has the '
           'same">')
    for tick in range(_TICKS + 1):
        x = _NAMES + _BARS * tick / _TICKS
        yield (f'<line class="grid" x1="{x:.1f}" y1="{_ROW}" x2="{x:.1f}" '
               f'y2="{height}"/><text class="tick" x="{x:.1f}" y="14" '
               f'text-anchor="middle">'
               f'{safe.duration(total * tick / _TICKS)}</text>')
    for row, (step, depth) in enumerate(shown, 1):
        yield _row(found, step, depth, row * _ROW, total)
    yield '</svg>'
    if len(found.steps) > _STEPS_MAX:
        yield f'<p>{len(found.steps) - _STEPS_MAX} more steps not drawn.</p>'


def _row(found: trace.Trace, step: steps.Step, depth: int, y: int,
         total: float) -> str:
    x = _NAMES + (step.start - found.start) / total * _BARS
    size = max((render_text.until(found, step) - step.start) / total * _BARS,
               2)
    color = (_FAILED if step.outcome == steps.FAILED
             else _color(step.source.service))
    name = safe.markup(f'{step.source.name}: {step.name}',
                       57 - 2 * min(depth, 6))
    error = f' {step.error}' if step.error else ''
    opacity = (0.25 if step.is_open else 0.55 if step.kind == steps.WAIT
               else 1)
    return (
        f'<g><title>{safe.markup(step.proof)}</title>'
        f'<text class="label" x="{min(depth, 6) * 14}" y="{y + 15}">{name}'
        '</text>'
        f'<rect x="{x:.1f}" y="{y + 4}" width="{size:.1f}" height="13" '
        f'rx="2" fill="{color}" fill-opacity="{opacity}"/>'
        f'<text class="time" x="{min(x + size, _NAMES + _BARS) + 5:.1f}" '
        f'y="{y + 15}">{render_text.length(step)}'
        f'{safe.markup(error, 30)}</text></g>')


def _color(service: str) -> str:
    return next((c for s, c in _COLORS if service.startswith(s)), _OTHER)


def _shares(found: trace.Trace) -> Iterator[str]:
    total = found.end - found.start
    yield ('<table><tr><th>Step</th><th class="n">Time of its own</th>'
           '<th class="n">Share</th></tr>')
    for share in found.shares:
        part = share.seconds / total * 100 if total else 0
        yield (f'<tr><td>{safe.markup(render_text.shown_share(share))}</td>'
               f'<td class="n">{safe.duration(share.seconds)}</td>'
               f'<td class="n">{part:.1f} %</td></tr>')
    yield '</table>'
    for gap in found.gaps:
        yield (f'<p>Without a step: {safe.duration(gap.seconds)} after '
               f'{safe.markup(gap.after) or "the start"}, before '
               f'{safe.markup(gap.before) or "the end"}.</p>')
    for pause in found.pauses:
        yield f'<p>{safe.markup(render_text.pause_note(pause), 600)}</p>'


def _remarks(found: trace.Trace) -> Iterator[str]:
    said = [render_text.clock_note(o) for o in found.offsets] + found.notes
    if said:
        yield '<h2>What to know</h2>'
        for text in said:
            yield f'<p>{safe.markup(text)}</p>'


def _proofs(found: trace.Trace) -> Iterator[str]:
    yield ('<h2>What proves each step</h2><table><tr><th class="n">Start</th>'
           '<th class="n">Time</th><th>Step</th><th>Line</th></tr>')
    for step in found.steps[:_STEPS_MAX]:
        error = f' <span class="failed">{safe.markup(step.error)}</span>' if (
            step.error) else ''
        yield (f'<tr><td class="n">{safe.duration(step.start - found.start)}'
               f'</td><td class="n">{render_text.length(step)}</td>'
               f'<td>{safe.markup(step.source.name)}: '
               f'{safe.markup(step.name)}{error}</td>'
               f'<td class="w mono">{safe.markup(step.proof)}</td></tr>')
    yield '</table>'


def _log(found: trace.Trace) -> Iterator[str]:
    yield ('<details><summary>Lines of the request at INFO and above'
           f' ({len(found.lines)})</summary><table>')
    for line in found.lines:
        more = ''.join(f'<br>{safe.markup(m)}' for m in line.more[-3:])
        yield (f'<tr><td class="n mono">{record.clock(line.time)[11:]}</td>'
               f'<td>{safe.markup(line.source.name)}</td>'
               f'<td>{safe.markup(line.level, 20)}</td><td class="w mono">'
               f'{safe.markup(line.text, 1000)}{more}</td></tr>')
    yield '</table></details>'
