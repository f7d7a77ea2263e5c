# SPDX-License-Identifier: Apache-2.0
"""A trace as text for a terminal."""

from collections.abc import Iterator

from mydriver.trace import (
    breakdown,
    cause,
    clocks,
    record,
    safe,
    steps,
    trace,
)

#: How long bars are, and how far the parts of a step are indented, from how
#: many columns on: the names of the steps matter more.
_LAYOUTS = ((100, 24, 2), (90, 12, 2), (70, 8, 1), (0, 0, 1))
#: Shares and gaps that are listed, at most.
_SHARES, _GAPS, _OTHERS = 12, 5, 10


def render(found: trace.Trace, width: int = 100) -> str:
    """Return the lines of a trace.

    :param width: of the terminal, columns.
    """
    return '\n'.join(_cut(line, width) if line.startswith(' +') else line
                     for line in _lines(found, width)) + '\n'


def _lines(found: trace.Trace, width: int) -> Iterator[str]:
    columns, indent = next(layout[1:] for layout in _LAYOUTS
                           if width >= layout[0])
    total = found.end - found.start
    yield headline(found)
    if found.flow.volumes:
        yield 'Volume: ' + ', '.join(sorted(found.flow.volumes)[:5])
    yield from _cause(found)
    yield ''
    yield 'Timeline (from the start; + marks a step' + (
        '; - no end is logged)' if any(s.is_open for s in found.steps)
        else ')')
    names = max((len(s.source.name) for s in found.steps), default=0)
    for step, depth in nested(found):
        mark = {steps.OK: ' ', steps.FAILED: '!', steps.UNKNOWN: ' '}
        at = step.start - found.start
        bar = _bar(at, until(found, step) - step.start, total,
                   '-' if step.is_open else '#', columns)
        yield (f' +{safe.duration(at):>9} {bar}'
               f'{length(step):>8} {mark[step.outcome]} '
               f'{safe.plain(step.source.name, 40):{min(names, 40)}} '
               f'{" " * indent * depth}{safe.plain(step.name, 60)}'
               + (f' ({safe.plain(step.error, 60)})' if step.error else ''))
    yield ''
    yield 'Where the time went'
    for share in found.shares[:_SHARES]:
        yield (f'  {safe.duration(share.seconds):>9} '
               f'{share.seconds / total * 100 if total else 0:5.1f} %  '
               f'{shown_share(share)}')
    for gap in found.gaps[:_GAPS]:
        yield (f'  Without a step: {safe.duration(gap.seconds)} after '
               f'{safe.plain(gap.after) or "the start"}, before '
               f'{safe.plain(gap.before) or "the end"}')
    for pause in found.pauses:
        yield f'  {pause_note(pause)}'
    yield from _remarks(found)


def pause_note(pause: breakdown.Pause) -> str:
    """Return the sentence about a pause."""
    return (f'In {safe.plain(pause.source, 60)}: '
            f'{safe.plain(pause.step, 100)}, {safe.duration(pause.seconds)} '
            f'without a line after {safe.plain(pause.after)}')


def headline(found: trace.Trace) -> str:
    """Return the most important things in one line."""
    longest = next((s for s in found.shares
                    if s.name != breakdown.NOTHING), None)
    if found.last_step:
        most = f'; {last_step(found.last_step)}'
    else:
        most = (f'; most of it: {shown_share(longest)}, '
                f'{safe.duration(longest.seconds)}' if longest else '')
    return (f'{found.flow.kind} {outcome(found)} '
            f'{safe.duration(found.end - found.start)}: {found.flow.key}, '
            f'started {record.clock(found.start)}{most}')


def outcome(found: trace.Trace) -> str:
    """Return the outcome with the word between it and the duration."""
    return found.outcome + (
        ' after' if found.outcome == steps.UNFINISHED else ' in')


def last_step(step: steps.Step) -> str:
    """Return the words about the last step of an unfinished request."""
    return safe.plain(f'last step: {step.source.name}: {step.name}', 160) + (
        f' ({safe.plain(step.error, 60)})' if step.error else '')


def shown_share(share: breakdown.Share) -> str:
    """Return a step with its log."""
    return safe.plain(f'{share.source}: {share.name}' if share.source
                      else share.name, 100)


def length(step: steps.Step) -> str:
    """Return a step's duration; nothing for one that has no end."""
    return '' if step.is_open else safe.duration(step.duration)


def until(found: trace.Trace, step: steps.Step) -> float:
    """Return how long a step is shown: without an end, as long as the trace.

    One that was tried again is shown until then, or until the request ended
    that it was a part of.

    :returns: seconds, as :attr:`.steps.Step.end`.
    """
    if not step.is_open:
        return step.end
    ends = [s.start for s in found.steps if s.name == step.name
            and s.source == step.source and s.start > step.start]
    if step not in found.unended:
        ends += [s.end for s in found.steps if not s.is_open
                 and s.request_id == step.request_id and s.kind < step.kind
                 and s.start <= step.start < s.end]
    return min([*ends, max(found.end, step.end)])


def nested(found: trace.Trace) -> list[tuple[steps.Step, int]]:
    """Return steps with how many others contain them."""
    slack = 0.002
    ends = [(s, until(found, s)) for s in found.steps]
    return [(s, sum(
        o is not s and (s.kind != steps.WAIT or o.source == s.source)
        and o.start - slack <= s.start and end <= outer_end + slack
        and (outer_end - o.start, -o.kind) > (end - s.start, -s.kind)
        for o, outer_end in ends)) for s, end in ends]


def explained(reason: cause.Cause) -> list[str]:
    """Return the sentences that tell a cause."""
    said = [f'First cause: {reason.source}'
            + (f', in {reason.step}' if reason.step else '')
            + f', at {record.clock(reason.time)}:']
    text = reason.text
    if reason.error and reason.error not in text:
        text = f'{reason.error}: {text}'
    said.append(text)
    if reason.hint:
        said.append(reason.hint)
    return said


def _cause(found: trace.Trace) -> Iterator[str]:
    if found.cause is None:
        return
    yield ''
    head, *rest = explained(found.cause)
    yield safe.plain(head)
    for text in rest:
        yield f'  {safe.plain(text, 1000)}'
    for log, text in found.consequences:
        yield f'Consequence: {safe.plain(log, 60)}: {safe.plain(text, 200)}'


def _remarks(found: trace.Trace) -> Iterator[str]:
    if found.offsets or found.notes:
        yield ''
    for offset in found.offsets:
        yield clock_note(offset)
    for note in found.notes:
        yield f'Note: {safe.plain(note)}'
    if found.others:
        yield ''
        yield f'Other requests for {found.subject}:'
        for other in found.others[-_OTHERS:]:
            yield (f'  {record.clock(other.first)} {other.kind:6} '
                   f'{other.key}')


def clock_note(one: clocks.Offset) -> str:
    """Return the sentence about two clocks."""
    ahead, behind = safe.plain(one.ahead, 60), safe.plain(one.behind, 60)
    by = f'at least {safe.duration(one.seconds)}'
    said = (f'that of {ahead} is {by} ahead of that of {behind}: '
            f'{one.turn[0]} ends after {one.turn[1]}, which waits for it'
            if one.turn else
            f'that of {ahead} is {by} ahead of that of {behind}: its work '
            'for a request ends after the answer to it'
            if one.is_late else
            f'that of {behind} is {by} behind that of {ahead}: it has lines '
            'of a request before the request')
    return f'Clocks: {said}. Times are shown as they were logged.'


def _bar(at: float, length: float, total: float, fill: str, columns: int
         ) -> str:
    """Return a bar and the space after it; nothing if it has no columns."""
    if not columns:
        return ''
    if total <= 0:
        return fill.ljust(columns) + ' '
    left = min(int(at / total * columns), columns - 1)
    right = min(round((at + length) / total * columns), columns)
    size = max(right - left, 1)
    return ('.' * left + fill * size).ljust(columns, '.') + ' '


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[:max(width - 3, 20)] + '...'
