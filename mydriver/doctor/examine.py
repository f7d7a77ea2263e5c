# SPDX-License-Identifier: Apache-2.0
"""Run checks: none stops another one, and none runs for ever."""

from collections.abc import Iterator, Sequence
import concurrent.futures
import os
import re
import subprocess
import threading

from mydriver import exception
from mydriver.doctor import commands, displaced, findings
from mydriver.doctor.findings import Check, Finding, Found
from mydriver.doctor.host import Host

#: Longest text of an unexpected error.
_REASON_CHARACTERS = 300


def examine(host: Host, checks: Sequence[Check]) -> list[Finding]:
    """Run the checks for a kind of host, one after the other.

    :returns: at least one finding for each check.
    """
    return [Finding(check, host.kind, found)
            for check in checks if host.kind in check.kinds
            for found in _in_time(host, check)]


def _in_time(host: Host, check: Check) -> list[Found]:
    """Run a check; give up waiting for it after its time.

    The thread of one that hangs stays behind; it does not keep the process
    from ending.
    """
    result: concurrent.futures.Future[list[Found]] = (
        concurrent.futures.Future())

    def work() -> None:
        result.set_result(_guarded(host, check))

    threading.Thread(target=work, daemon=True).start()
    try:
        return result.result(check.timeout_s)
    except concurrent.futures.TimeoutError:
        return [findings.unknown(
            f'The check did not end within {check.timeout_s:.0f} s.')]


def _guarded(host: Host, check: Check) -> list[Found]:
    try:
        return list(check.look(host)) or [findings.ok(f'{check.title}.')]
    except exception.ConfigurationError as e:
        if isinstance(e.__cause__, PermissionError):
            return [findings.unknown(f'{e.option}: {e.problem}.',
                                     commands.as_root(host))]
        return [_of_setting(host, e)]
    except exception.MyDriverError as e:
        if isinstance(e.__cause__, PermissionError):
            return [findings.unknown(str(e), commands.as_root(host))]
        return [findings.error(str(e), commands.of_text(str(e))
                               or f'mydriver doctor {host.kind} --all')]
    except PermissionError as e:
        return [findings.unknown(f'{e.filename}: {e.strerror}.',
                                 commands.as_root(host))]
    except subprocess.TimeoutExpired as e:
        return [findings.unknown(f'{os.path.basename(e.cmd[0])} did not end '
                                 f'within {e.timeout:.0f} s.')]
    except Exception as e:  # a fault of the check
        text = f'{type(e).__name__}: {exception.shown(str(e), 200)}'
        return [findings.unknown(
            f'The check failed: {text[:_REASON_CHARACTERS]}')]


def _of_setting(host: Host, error: exception.ConfigurationError) -> Found:
    """Return what is wrong with a setting.

    What to do is a command, or else it is told in a sentence, and the command
    opens the file.
    """
    what = f'{error.option}: {error.problem}.'
    command = commands.of_text(error.remedy)
    if command:
        return findings.error(what, command)
    at = re.match(r'line (\d+)\b', error.problem)
    path = error.option if os.path.isabs(error.option) else None
    return findings.error(
        f'{what} {error.remedy}', displaced.by_setup(host, path or '')
        or commands.edit(host, int(at[1]) if at else None, path))


def fix(found: Sequence[Finding]) -> Iterator[str]:
    """Apply the safe remedies; yield what was done."""
    done: list[object] = []
    for finding in found:
        if finding.found.fix is None or finding.found.fix in done:
            continue
        done.append(finding.found.fix)
        try:
            yield f'{finding.check.id}: {finding.found.fix()}'
        except (exception.MyDriverError, OSError,
                subprocess.SubprocessError) as e:
            yield f'{finding.check.id}: failed: {e}'
