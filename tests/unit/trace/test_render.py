# SPDX-License-Identifier: Apache-2.0
"""A trace as text and as a page, also of hostile logs."""

from html import parser
import json
from pathlib import Path
import tempfile
import unittest

import yaml

from mydriver.trace import logs, render_html, render_text, safe, trace
from tests.unit.trace import lines

NOVA, CINDER, VOLUME = lines.NOVA, lines.CINDER, lines.VOLUME

#: What a log may hold: markup, terminal escapes, characters that reorder.
HOSTILE = ('<script>alert(1)</script><img src=x onerror=alert(2)>"\' &amp; '
           '</title></svg> \x1b[2J\x1b]0;owned\x07 \u202egnp\u2028 \x9b31m '
           'http://203.0.113.9/x.js ${body} $title %s {0}')

#: Elements that the page may have, and attributes that could load something.
_ELEMENTS = frozenset((
    'html', 'head', 'meta', 'title', 'style', 'body', 'h1', 'h2', 'p', 'span',
    'code', 'strong', 'div', 'svg', 'g', 'line', 'rect', 'text', 'table',
    'tr', 'td', 'th', 'details', 'summary', 'br'))
_LOADING = frozenset(('src', 'href', 'xlink:href', 'srcset', 'data', 'action',
                      'formaction', 'background', 'poster', 'style'))


class Page(parser.HTMLParser):
    """Reads a page and checks that its elements are nested rightly."""

    _VOID = ('meta', 'br', 'line', 'rect')

    def __init__(self):
        super().__init__()
        self.elements = set()
        self.attributes = set()
        self.text = []
        self.open = []

    def handle_starttag(self, tag, attrs):
        """Take down an element and its attributes."""
        self.elements.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in self._VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        """Take down an element without contents."""
        self.elements.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_endtag(self, tag):
        """Check that it ends the innermost one."""
        if self.open.pop() != tag:
            raise AssertionError(tag)

    def handle_data(self, data):
        """Take down text."""
        self.text.append(data)


class RenderCase(unittest.TestCase):
    """Traces of written logs."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def trace(self, *written, subject=NOVA):
        """Return the trace of a request."""
        for log in written:
            log.write(self.folder)
        return trace.of(logs.Logs([str(self.folder)]), subject)

    def page(self, found):
        """Return a page that has been read."""
        page = Page()
        page.feed(render_html.render(found))
        page.close()
        self.assertEqual([], page.open)
        return page


class HostileTest(RenderCase):
    """Nothing in a log can act on who reads the output."""

    def setUp(self):
        super().setUp()
        compute = lines.Log('nova-compute')
        compute(1, f'Attaching volume {VOLUME} {HOSTILE}', NOVA)
        compute.event(2, f'<script>{HOSTILE[:40]}', NOVA, ms=500)
        compute.event(3, 'connect_volume', NOVA, ms=500, error='<b>Error')
        compute(3.1, f'Failed {HOSTILE}', NOVA, level='ERROR')
        compute.traceback(3.1, f'<i>x.SomeError: {HOSTILE}',
                          f'x.SomeError: {HOSTILE}')
        lines.cinder_call(compute, 4, 1, 'POST', f'"><script>/{HOSTILE}')
        compute(5, 'x' * 200_000, NOVA)
        self.found = self.trace(compute, lines.Log('nova-<b>-\x1b[2J')(
            2, f'Lock "{HOSTILE}" acquired by "{HOSTILE}" :: waited 9.000s',
            NOVA))

    def test_the_page_has_only_its_own_elements(self):
        page = self.page(self.found)
        self.assertLessEqual(page.elements, _ELEMENTS)
        self.assertEqual(set(), page.attributes & _LOADING)
        self.assertEqual([], [a for a in page.attributes
                              if a.startswith('on')])

    def test_the_page_shows_what_was_logged(self):
        text = ''.join(self.page(self.found).text)
        self.assertIn('<script>alert(1)</script>', text)
        self.assertNotIn('\x1b', text)
        self.assertNotIn('\u202e', text)

    def test_the_page_refers_to_nothing(self):
        page = render_html.render(self.found)
        for text in ('url(', '@import', '<script', '<link', '<iframe',
                     'javascript:'):
            self.assertNotIn(text, page.lower())
        self.assertIn("default-src 'none'", page)

    def test_the_terminal_gets_no_control_characters(self):
        text = render_text.render(self.found)
        self.assertEqual([], [c for c in text if c != '\n' and (
            ord(c) < 32 or 126 < ord(c) < 160 or c in '\u202e\u2028')])
        self.assertIn('\\x1b[2J', text)

    def test_the_outputs_are_bounded(self):
        self.assertLess(len(render_text.render(self.found)), 20_000)
        self.assertLess(len(render_html.render(self.found)), 100_000)
        for line in render_text.render(self.found, 80).splitlines():
            if line.startswith(' +'):
                self.assertLessEqual(len(line), 80)

    def test_programs_can_read_it(self):
        found = self.found.to_dict()
        self.assertEqual(found, json.loads(json.dumps(found)))
        self.assertEqual(found, yaml.safe_load(yaml.safe_dump(found)))


class BytesTest(RenderCase):
    """Bytes that are no text."""

    def test_a_log_of_noise(self):
        head = f'2026-11-27 01:02:03.456 7 INFO x [None {NOVA} u p] '.encode()
        noise = bytes(range(256)) * 40
        (self.folder / 'nova-compute.log').write_bytes(
            head + noise + b'\n' + noise + head + b'\xff\xfe\n' + noise)
        found = trace.of(logs.Logs([str(self.folder)]), NOVA)
        self.page(found).close()
        render_text.render(found).encode()
        json.dumps(found.to_dict()).encode()


class TextTest(RenderCase):
    """What the operator reads."""

    def failed(self):
        compute = lines.Log('nova-compute')
        compute(1, f'Attaching volume {VOLUME} to /dev/vdb', NOVA)
        compute.event(3, 'connect_volume', NOVA, ms=1900, error='LoginError')
        compute(3, 'Driver failed', NOVA, level='ERROR')
        compute.traceback(3, 'mydriver.exception.LoginError: No answer.')
        behind = lines.Log('cinder-api', -9)(2, 'x', CINDER, NOVA)
        api = lines.Log('nova-api')(0.5, 'x', NOVA)
        return self.trace(compute, behind, api)

    def test_a_failure(self):
        text = render_text.render(self.failed())
        self.assertTrue(text.startswith('attach failed in '), text)
        self.assertIn(
            'First cause: nova-compute, in connect_volume, at '
            '2026-11-27 00:00:03.000:\n  LoginError: No answer.\n'
            'Consequence: nova-compute: Driver failed\n', text)
        self.assertIn(
            'Clocks: that of cinder-api is at least 7.50 s behind that of '
            'nova-api: it has lines of a request before the request. Times '
            'are shown as they were logged.\n', text)
        self.assertIn('Note: The log of cinder-volume was not read', text)

    def test_the_method_that_raised_an_error_failed(self):
        manager = 'nova.compute.manager.ComputeManager.attach_volume.'
        log = lines.Log('nova-compute')
        log(1, f'Attaching volume {VOLUME} to /dev/vdb', NOVA)
        for at, what in ((1, 'acquired by "{}" :: waited 0.000s'),
                         (3, '"released" by "{}" :: held 2.000s')):
            log(at, 'Lock "x" ' + what.format(
                manager + '<locals>.do_attach_volume'), NOVA,
                logger='oslo_concurrency.lockutils')
        self.assertNotIn('fill="#b3261e"', render_html.render(
            self.trace(log)))
        log(3.1, 'Exception during message handling', NOVA, level='ERROR',
            logger='oslo_messaging.rpc.server')
        found = self.trace(log)
        self.assertRegex(render_text.render(found),
                         r'! nova-compute attach_volume \(manager\)\n')
        self.assertIn('fill="#b3261e"', render_html.render(found))

    def test_narrow_terminals_have_shorter_bars(self):
        log = lines.Log('nova-compute').event(2, 'connect_volume', NOVA,
                                              ms=1000)
        log.event(2, 'connect_volume', NOVA, phase='discover', ms=900)
        found = self.trace(log)
        for width, bar, name in ((100, 24, '  connect_volume: discover'),
                                 (90, 12, '  connect_volume: discover'),
                                 (70, 8, ' connect_volume: discover'),
                                 (64, 0, ' connect_volume: discover')):
            rows = [r for r in render_text.render(found, width).splitlines()
                    if r.startswith(' +')]
            self.assertEqual(bar, rows[0].count('#'), width)
            self.assertTrue(rows[1].endswith(f' {name}'), rows[1])

    def test_a_failure_on_the_page(self):
        text = ''.join(self.page(self.failed()).text)
        self.assertIn('First cause: nova-compute, in connect_volume', text)
        self.assertIn('LoginError: No answer.', text)

    def test_other_requests_are_listed(self):
        log = lines.Log('nova-compute')
        log(1, f'Attaching volume {VOLUME} to x', NOVA)
        log(9, f'Detaching volume {VOLUME}', CINDER)
        text = render_text.render(self.trace(log, subject=VOLUME))
        self.assertTrue(text.startswith('detach unfinished after 0.0 ms'))
        self.assertIn(f'  2026-11-27 00:00:01.000 attach {NOVA}\n', text)

    def test_lines_long_after_the_last_step(self):
        log = lines.Log('nova-compute')
        log.event(2, 'connect_volume', NOVA, ms=1000)
        log(4, 'Done', NOVA)
        log(90, 'VM Stopped (Lifecycle Event)', NOVA)
        found = self.trace(log)
        self.assertTrue(
            render_text.render(found).startswith('attach ok in 3.00 s'))
        self.assertIn('Note: One more line names this request long after',
                      render_text.render(found))
        log(95, 'Failed', NOVA, level='ERROR')
        self.assertEqual('failed', self.trace(log).outcome)

    def test_the_next_request_of_the_apis_thread(self):
        """Its token is checked under the name of the one before."""
        api, compute = lines.Log('nova-api'), lines.Log('nova-compute')
        api.event(1, 'attach request', NOVA, ms=500)
        compute.event(3, 'connect_volume', NOVA, ms=1000)
        for at in (0.7, 7):
            api(at, 'GET call to identity', NOVA, level='DEBUG',
                logger='keystoneauth.session')
        text = render_text.render(self.trace(api, compute))
        self.assertTrue(text.startswith('attach unfinished after 2.50 s'))
        compute(5, 'POST call to volumev3', NOVA, level='DEBUG',
                logger='keystoneauth.session')
        text = render_text.render(self.trace(api, compute))
        self.assertTrue(text.startswith('attach unfinished after 4.50 s'))

    def test_one_line(self):
        found = self.trace(lines.Log('nova-compute')(1, 'x', NOVA))
        self.assertIn('other ok in 0.0 ms', render_text.render(found))
        self.page(found)


class SafeTest(unittest.TestCase):
    """Text of unknown origin."""

    def test_plain(self):
        for text, shown in (('a\tb\nc', 'a b c'), ('\x1b', '\\x1b'),
                            ('\u202e', '\\x202e'), ('\ud800', '\\xd800'),
                            ('é', 'é')):
            self.assertEqual(shown, safe.plain(text))
        self.assertEqual('aaaaaaa...', safe.plain('a' * 99, 10))

    def test_durations(self):
        for seconds, shown in ((0.0004, '0.4 ms'), (0.0126, '13 ms'),
                               (0.9991, '999 ms'), (0.9996, '1.00 s'),
                               (12.345, '12.35 s'), (345.6, '346 s')):
            self.assertEqual(shown, safe.duration(seconds))

    def test_masked(self):
        self.assertNotIn('hunter2', safe.masked("'auth_password': 'hunter2'"))
