# SPDX-License-Identifier: Apache-2.0
"""Writes logs as services do, for tests."""

from pathlib import Path

from mydriver import events
from mydriver.trace import finder, record

NOVA = 'req-11111111-1111-4111-8111-111111111111'
CINDER = 'req-22222222-2222-4222-8222-222222222222'
OTHER = 'req-33333333-3333-4333-8333-333333333333'
VOLUME = '5a6ebd8c-0f4b-4d3a-9f10-9d4a3c1c7d11'
SERVER = '0c8f1b7e-54d5-4cf3-8a93-4c7d1f0a2b33'
ATTACHMENT = '7be1a2c4-9c55-4a3c-b0de-0f3f2f6a9c55'


class Log:
    """The log of one service.

    :param name: of its file, without ``.log``.
    :param ahead_s: how far the clock of its host is ahead.
    """

    def __init__(self, name, ahead_s=0.0):
        self.name = name
        self._ahead_s = ahead_s
        self.lines = []

    def __call__(self, at, text, request='', cause='None', *, level='INFO',
                 logger='nova.compute.manager', pid=7):
        """Write a record at a number of seconds after midnight."""
        context = f'{cause} {request} user project - - default default' if (
            request) else '-'
        self.lines.append(f'{self.stamp(at)} {pid} {level} {logger} '
                          f'[{context}] {text}')
        return self

    def event(self, at, operation, request, cause='None', *, phase='',
              ms=1.0, error='', volume=VOLUME):
        """Write an event that ends then."""
        return self(at, events.Event(
            operation, ms, 'failed' if error else 'ok', volume, phase,
            error).text(), request, cause, logger='mydriver.events')

    def traceback(self, at, *lines, logger='nova.compute.manager', pid=7):
        """Write the lines of a traceback, as after a record."""
        self.lines += [f'{self.stamp(at)} {pid} ERROR {logger} {line}'
                       for line in ('Traceback (most recent call last):',
                                    '  File "manager.py", line 1, in f',
                                    *lines)]
        return self

    def stamp(self, at):
        """Return a time as a log writes it."""
        return record.clock(
            record.seconds('2026-11-27 00:00:00') + at + self._ahead_s)

    def write(self, folder):
        """Write the file."""
        (Path(folder) / f'{self.name}.log').write_text(
            '\n'.join(self.lines) + '\n')

    def records(self):
        """Return its records, with their tracebacks."""
        found = []
        source = record.Source(self.name, self.name)
        for order, line in enumerate(self.lines):
            one = record.parse(line, source, order)
            rest = found and record.continues(found[-1], line)
            if found and rest is not None:
                found[-1].more.append(rest)
            else:
                found.append(one)
        return found


def merged(*logs):
    """Return the records of several logs in the order of their times."""
    return sorted((r for log in logs for r in log.records()),
                  key=lambda r: (r.time, r.source.name, r.order))


def found(*logs):
    """Return the steps in logs."""
    return finder.Finder().find(merged(*logs))


def cinder_call(log, at, took, method, path, status=200, request=CINDER,
                cause=NOVA):
    """Write a request to cinder-api and its answer."""
    url = f'http://192.0.2.10:8776/v3/{path}'
    log(at, f'{method} {url}', request, cause,
        logger='cinder.api.openstack.wsgi')
    log(at + took, f'{url} returned with HTTP {status}', request, cause,
        logger='cinder.api.openstack.wsgi')
    return log
