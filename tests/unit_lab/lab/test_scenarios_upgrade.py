# SPDX-License-Identifier: Apache-2.0
"""Which code runs, what the guest wrote, and that a mistake is noticed."""

import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

import ddt

from lab import errors, process
from lab.scenario import console, writer
from lab.scenario.expect import NotProven
from lab.scenarios.upgrade import code, running, source, story
from tests.unit_lab.lab.test_scenarios_fill import guest_script

TOKEN = 'a-token'


class SourceTest(unittest.TestCase):
    """The code of a revision."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.clone = self.folder / 'clone'
        (self.clone / 'mydriver').mkdir(parents=True)
        for name, value in (('FOLDER', self.folder / 'state'),
                            ('paths', mock.Mock(ROOT=self.clone))):
            self.enterContext(mock.patch.object(source, name, value))
        self.git('init', '--quiet')
        self.commit('one')

    def git(self, *argv: str) -> None:
        env = {k: v for k, v in os.environ.items()
               if not k.startswith('GIT_')}
        subprocess.run(['git', '-c', 'user.name=x', '-c', 'user.email=x@x',
                        *argv], cwd=self.clone, env=env, check=True)

    def commit(self, text: str) -> None:
        (self.clone / 'mydriver/__init__.py').write_text(f'"""{text}"""\n')
        self.git('add', '.')
        self.git('commit', '--quiet', '-m', text)

    def test_each_revision_has_its_folder(self) -> None:
        self.commit('two')
        found = [source.check_out(r) for r in ('HEAD~1', 'HEAD', 'HEAD~1')]
        self.assertEqual(found[0], found[2])
        self.assertEqual(
            ['"""one"""\n', '"""two"""\n'],
            [(f.folder / 'mydriver/__init__.py').read_text()
             for f in found[:2]])
        self.assertTrue(list(found[0].folder.rglob('*.pyc')))

    def test_no_such_revision(self) -> None:
        with self.assertRaisesRegex(errors.LabError, 'nowhere'):
            source.check_out('nowhere')

    def test_an_option_is_no_revision(self) -> None:
        with self.assertRaises(errors.LabError):
            source.check_out('--all')

    def test_a_revision_without_the_driver(self) -> None:
        self.git('rm', '-q', '-r', 'mydriver')
        self.git('commit', '--quiet', '-m', 'none')
        with self.assertRaisesRegex(errors.LabError, 'mydriver'):
            source.check_out('HEAD')


class RunningTest(unittest.TestCase):
    """Processes that have a package from two directories."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.program = self.folder / 'sleeper'
        self.program.write_text('import time\ntime.sleep(60)\n')

    def start(self, name: str) -> int:
        code_folder = self.folder / name
        (code_folder / 'somepackage').mkdir(parents=True)
        (code_folder / 'somepackage/__init__.py').touch()
        child = subprocess.Popen(
            [sys.executable, self.program, '--config'],
            env={'PYTHONPATH': str(code_folder)})
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child.pid

    def test_each_process_has_its_own(self) -> None:
        wanted = {str(self.start(name)): str(self.folder / name)
                  for name in ('old', 'new')}
        pattern = f'{self.program} --conf'
        process.wait_for(
            lambda: len(running.find('os', pattern)[pattern]) == 2,
            'both processes', 30)
        self.assertEqual({pattern: wanted, 'no-such-program': {}},
                         running.find('somepackage', pattern,
                                      'no-such-program'))


class Observer:
    """Answers what a node runs."""

    def __init__(self, found: str) -> None:
        self.found = found

    def run(self, *_argv: str) -> str:
        """Return what running.py printed."""
        return self.found


class CheckerTest(unittest.TestCase):
    """What counts as the right code."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.folder / 'mydriver/target').mkdir(parents=True)
        (self.folder / 'mydriver/target/exports.py').touch()
        self.log = self.folder / 'cinder-volume.log'
        self.log.write_text('')
        self.source = source.Source('x', self.folder)
        self.enterContext(mock.patch.object(
            code.paths, 'ROOT', self.folder))

    def check(self, services: dict[str, str],
              daemons: dict[str, str]) -> str:
        _, service, daemon = code.NODES['storage']
        found = code.json.dumps({service: services, daemon: daemons})
        cloud = mock.Mock()
        cloud.log.return_value = self.log
        return code.Checker(cloud, Observer(found)).service(
            'storage', self.source)

    def test_all_run_it(self) -> None:
        here = str(self.folder)
        self.assertIn('2 cinder-volume and 1 privileged',
                      self.check({'1': here, '2': here}, {'3': here}))

    def test_not_running(self) -> None:
        with self.assertRaisesRegex(NotProven, 'not running'):
            self.check({}, {})

    def test_a_daemon_with_other_code(self) -> None:
        with self.assertRaisesRegex(NotProven, 'target_context 3.*/other'):
            self.check({'1': str(self.folder)}, {'3': '/other'})

    def test_a_module_that_the_code_does_not_have(self) -> None:
        head = '2026-11-23 00:27:02.092 828 INFO '
        self.log.write_text(f'{head}mydriver.target.exports [-] x\n'
                            f'{head}cinder.service [-] x\n')
        here = {'1': str(self.folder)}
        self.assertIn('1 of its modules logged', self.check(here, {}))
        self.log.write_text(f'{head}mydriver.elsewhere [-] x\n')
        with self.assertRaisesRegex(NotProven, 'mydriver.elsewhere'):
            self.check(here, {})


class JournalTest(unittest.TestCase):
    """Rows of two versions of the journal."""

    def test_new_columns_do_not_count(self) -> None:
        first, second = story.same_columns(
            ["export: ('v', 1)", "node: ('i', 't')"],
            ["node: ('i', 't', None)", "export: ('v', 1)"])
        self.assertEqual(["export: ('v', 1)", "node: ('i', 't')"], first)
        self.assertEqual(first, second)

    def test_others_do(self) -> None:
        first, second = story.same_columns(
            ["export: ('v', 1)"], ["export: ('v', 2, None)"])
        self.assertNotEqual(first, second)
        self.assertNotEqual(*story.same_columns(["node: ('i',)"], []))


@ddt.ddt
class WriterTest(unittest.TestCase):
    """The guest's reports."""

    def setUp(self) -> None:
        super().setUp()
        self.text = ''
        self.looks: list[str] = []
        self.writer = writer.Writer(
            console.Guest('A', self.read), 'vdb', TOKEN)

    def read(self) -> str:
        """Return the console, a line more with each look."""
        if self.looks:
            self.text += self.looks.pop(0)
        return self.text

    def said(self, at_s: int, count: int, longest_ms: int,
             end: str = 'ok') -> str:
        text = (f'disk vdb writes token={TOKEN} count={count} '
                f'longest_ms={longest_ms} {end} uptime={at_s}.00')
        return f'GUEST {text} length={len(text)}\n'

    def test_progress_is_what_came_since(self) -> None:
        self.looks = [self.said(1, 10, 9999), self.said(2, 20, 400),
                      self.said(3, 30, 900), self.said(4, 40, 300)]
        begin = self.writer.report()
        self.assertEqual(20, writer.count(begin))
        self.assertEqual(writer.Progress(20, 900), self.writer.since(begin))

    def test_a_pause_is_noticed(self) -> None:
        self.looks = [self.said(1, 10, 1), self.said(2, 20, 1),
                      self.said(9, 30, 6000), self.said(10, 40, 1)]
        begin = self.writer.report()
        with self.assertRaisesRegex(NotProven, 'pause 6000 ms'):
            self.writer.since(begin)

    def test_data_that_is_wrong_is_noticed(self) -> None:
        self.looks = [self.said(1, 10, 1), self.said(2, 20, 1, 'BAD')]
        with self.assertRaises(console.GuestError):
            self.writer.report()

    @ddt.data(3, 64, 130)
    def test_records(self, last: int) -> None:
        """The first PLACES ones at least; places are used in turn."""
        places = [''] * writer.PLACES
        for number in range(1, max(last, writer.PLACES) + 1):
            places[(number - 1) % writer.PLACES] = f'{TOKEN} {number} \n'
        text = ''.join(places)
        self.assertEqual(max(last, writer.PLACES),
                         writer.check_records(text, TOKEN, last))
        with self.assertRaisesRegex(NotProven, 'the last record'):
            writer.check_records(text, TOKEN, 1000)
        stale = text.replace(places[5], f'{TOKEN} 1 \n')
        with self.assertRaisesRegex(NotProven, 'lost or misplaced'):
            writer.check_records(stale, TOKEN, 1)
        with self.assertRaisesRegex(NotProven, 'not all records'):
            writer.check_records(text, 'other', 1)

    def test_places_that_are_still_empty(self) -> None:
        begun = [f'{TOKEN} {number} \n' for number in range(1, 42)]
        empty = '\0' * 4096
        text = ''.join(begun) + empty * 23
        self.assertEqual(41, writer.check_records(text, TOKEN, 40))
        with self.assertRaisesRegex(NotProven, 'the last record'):
            writer.check_records(text, TOKEN, 42)
        for wrong in (''.join(begun),
                      ''.join((*begun[:20], empty, *begun[21:])) + empty * 23,
                      empty * writer.PLACES):
            with self.assertRaisesRegex(NotProven, 'not all records') as told:
                writer.check_records(wrong, TOKEN, 1)
            self.assertLess(len(str(told.exception)), 400)
        with self.assertRaisesRegex(NotProven, 'lost or misplaced'):
            writer.check_records(''.join((*begun[:20], *begun[21:]))
                                 + empty * 24, TOKEN, 1)


class GuestTest(unittest.TestCase):
    """The guest's own writer, on a file in the place of a disk."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / 'sys/vdc').mkdir(parents=True)
        self.disk = self.folder / 'vdc'
        self.disk.write_bytes(f'mydriver-write {TOKEN}\n'.encode().ljust(
            2 << 20, b'\0'))

    def run_writer(self, script: str, timeout_s: float = 30) -> str:
        return subprocess.run(
            ['busybox', 'sh', guest_script(self.folder, script)], check=True,
            text=True, capture_output=True, timeout=timeout_s).stdout

    def test_records_come_in_turn_until_the_disk_is_gone(self) -> None:
        # The disk goes with the 70th pause.
        said = self.run_writer(f'''
            pause() {{
                [ $((n += 1)) -lt 70 ] || rm -rf {self.folder}/sys/vdc \\
                    {self.disk}
                [ $n -ne 69 ] || cp {self.disk} {self.folder}/copy
            }}
            # As a disk that is not there: a file would be made.
            dd() {{
                [ -e {self.disk} ] && command dd "$@"
            }}
            n=0
            write_begin vdc
            wait''')
        counts = [console.Line(line, 0).fields['count']
                  for line in said.splitlines()]
        self.assertEqual([str(n) for n in range(10, 80, 10)], counts)
        data = (self.folder / 'copy').read_bytes()[1 << 20:]
        text = ' '.join(data[:writer.PLACES * 4096].decode().split(' ')
                        ).replace('  ', '')
        self.assertEqual(69, writer.check_records(text, TOKEN, 60))

    def test_a_failed_write_is_told(self) -> None:
        started = time.monotonic()
        said = self.run_writer(f'''
            pause() {{ [ $((n += 1)) -lt 3 ] || exit 0; }}
            dd() {{
                case "$*" in
                *of=*) echo "dd: error writing 'vdc': I/O error" >&2
                    return 1 ;;
                esac
                command dd "$@"
            }}
            n=0
            writer vdc {TOKEN}''')
        self.assertLess(time.monotonic() - started, 30)
        self.assertIn('disk vdc write failed error=I/O-error', said)

    def test_other_disks_are_not_written_to(self) -> None:
        self.disk.write_bytes(b'mydriver-pattern a 1 b\n')
        self.assertEqual('no\n', self.run_writer('write_begin vdc || echo no'))
