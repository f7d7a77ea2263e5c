# SPDX-License-Identifier: Apache-2.0
"""Sum up the counts that commands have written to files (``.ci/run``).

Standard library only: it must work even if nothing could be installed.

    python3 tools/total.py NAME STATUS FILE [NAME STATUS FILE]...
"""

from collections.abc import Sequence
import json
from pathlib import Path
import sys
from typing import Any

#: How many failures are named at most.
FAILURES_MAX = 30
#: Maximum length of a reason, characters.
REASON_MAX = 200


def failures(data: dict[str, Any]) -> list[str]:
    """Return a line for each failure that a command has written to its file.

    :param data: with ``stages``, each with a ``stage``, the count ``failed``
        and ``failures``; or with ``steps``, each with ``name``, ``status``
        and ``proof``. Neither is needed.
    """
    found = [f'{stage["stage"]}: {why}' for stage in data.get('stages', ())
             for why in stage.get('failures', ())]
    for step in data.get('steps', ()):
        if step['status'] != 'passed':
            why = str(step.get('proof') or step['status']).splitlines()[0]
            found.append(f'{step["name"]}: {why[:REASON_MAX]}')
    if len(found) > FAILURES_MAX:
        found[FAILURES_MAX:] = [f'{len(found) - FAILURES_MAX} more']
    return found


def count(name: str, status: int, path: Path
          ) -> tuple[int, int, str, list[str]]:
    """Return how many of a command's checks passed and failed.

    :param name: of the command.
    :param status: its exit status.
    :param path: file of JSON with ``passed`` and ``failed``. If it is missing,
        or has no failure although the command failed, the command counts as
        a failed check.
    :returns: passed, failed, a line for people, a line for each failure.
    """
    try:
        data = json.loads(path.read_text())
        passed, failed = int(data['passed']), int(data['failed'])
        named = failures(data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        why = f'exit status {status}, no counts ({e})'
        return 0, 1, f'{name}: {why}', [why]
    if not failed and (status or not passed):
        failed = 1
        named = [f'exit status {status}, but no check has failed'
                 if passed else 'nothing has passed']
    return passed, failed, (f'{name}: exit status {status}, '
                            f'{passed} passed, {failed} failed'), named


def main(argv: Sequence[str]) -> int:
    """Print a line for each command, one for each failure, and the total.

    :returns: 0 if nothing failed, else 1.
    """
    passed = failed = 0
    named: list[str] = []
    for name, status, path in zip(argv[::3], argv[1::3], argv[2::3],
                                  strict=True):
        good, bad, line, why = count(name, int(status), Path(path))
        print(line)
        named += [f'failed: {name}: {reason}' for reason in why]
        passed += good
        failed += bad
    for line in named:
        print(line)
    print(f'{passed} passed, {failed} failed')
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
