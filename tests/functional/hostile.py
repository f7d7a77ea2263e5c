# SPDX-License-Identifier: Apache-2.0
"""A compromised service, for tests of privileged verbs.

The verbs are found where oslo.privsep has them, and so are their parameters.
Each is replaced in turn, and each part of it, by values that a caller of good
will never has.
"""

from collections.abc import Iterator, Sequence
import dataclasses
import functools
import importlib
import inspect
import multiprocessing
import os
import pkgutil
from typing import Any

from oslo_privsep import comm, priv_context

from mydriver import exception, privileged
from mydriver.privileged import context as contexts

#: Who calls: nobody, in no group.
UID = 65534

#: A verb that takes longer is blocked.
TIMEOUT_S = 45.0

UP = '../' * 14
#: What no verb expects in any place.
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, float('inf'), 1 << 31, -(1 << 63),
    (1 << 64) - 1, b'', b'\xff\xfe', '', ' ', '.', '..', '/', '*', '\0', '\n',
    'a\nb', 'a\0b', '\u0661', '\u00e9', '%s%n', '{0}', '$(id)', '`id`', '-f',
    '--config=devices/scan=["/tmp"]', '@tag', 'a b', 'a,b', 'x' * 100_000,
    f'{UP}proc/sys/kernel/core_pattern', '/proc/sys/kernel/core_pattern',
    f'{UP}etc/shadow', '/etc/shadow', '/dev/ubda', '/dev/../etc', '/dev/mem',
    'iqn.2003-01.org.example:x/../../y', '0 || lv_name!=""', [], {}, [[]],
    [None], {'': ''}, {'a': {'b': [1, {'c': None}]}}, ['x'] * 5000,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call.

    :param kind: ``done``, ``refused`` (an error of ours), ``broken`` (an
        error of Python's), ``blocked``, or ``lost`` (the daemon is gone).
    :param text: the value, or the error.
    """

    kind: str
    text: str


def verbs_of(context: contexts.PrivContext) -> dict[str, Any]:
    """Return all functions that a context's daemon runs, by full name."""
    found = {}
    for module in pkgutil.walk_packages(
            privileged.__path__, f'{privileged.__name__}.'):
        for value in vars(importlib.import_module(module.name)).values():
            if (isinstance(value, functools.partial)
                    and context.is_entrypoint(value)):
                function = value.args[0]
                found[f'{function.__module__}.{function.__name__}'] = function
    return found


def parameters_of(function: Any) -> list[str]:
    """Return the names of a verb's parameters."""
    return list(inspect.signature(function).parameters)


def mutations(value: Any, hostile: Sequence[Any]) -> Iterator[Any]:
    """Give a value with each of its parts replaced by each hostile one."""
    yield from hostile
    if isinstance(value, dict):
        for key, part in value.items():
            yield {k: v for k, v in value.items() if k != key}
            yield {**{k: v for k, v in value.items() if k != key},
                   f'{UP}{key}': part}
            for other in mutations(part, hostile):
                yield {**value, key: other}
    elif isinstance(value, list):
        yield [*value, *value]
        for i, part in enumerate(value):
            for other in mutations(part, hostile):
                yield [*value[:i], other, *value[i + 1:]]


class Caller:
    """A process without privileges, with a daemon that it has started.

    :param context: whose daemon.
    """

    def __init__(self, context: contexts.PrivContext) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context('fork').Process(
            target=_serve, args=(context, theirs, self._pipe), daemon=True)
        self._process.start()
        theirs.close()
        assert self._pipe.recv() == UID

    def close(self) -> None:
        """End it, and the daemon with it."""
        self._pipe.close()
        self._process.join(TIMEOUT_S)
        self._process.kill()

    def call(self, verb: str, calls: Sequence[Sequence[Any]]) -> list[Answer]:
        """Call a verb with one list of arguments after the other."""
        self._pipe.send(('call', verb, calls))
        return self._pipe.recv()

    def one(self, verb: str, *args: Any) -> Answer:
        """Call a verb once."""
        answer, = self.call(verb, [args])
        return answer


def _serve(context: contexts.PrivContext, pipe: Any, parents: Any) -> None:
    parents.close()  # or the pipe would never end
    parent = os.getpid()
    try:
        context.set_client_mode(True)
        context.start(priv_context.Method.FORK)
    finally:
        if os.getpid() != parent:
            os._exit(1)
    os.setgroups([])
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, UID, UID)
    pipe.send(os.getuid())
    while True:
        try:
            _what, verb, calls = pipe.recv()
        except EOFError:
            os._exit(0)
        pipe.send([_answer(context, verb, args) for args in calls])


def _answer(context: contexts.PrivContext, verb: str, args: Sequence[Any]
            ) -> Answer:
    try:
        value = context.channel.remote_call(verb, args, {}, TIMEOUT_S)
        return Answer('done', repr(value)[:500])
    except exception.MyDriverError as e:
        return Answer('refused', f'{type(e).__name__}: {e}')
    except comm.PrivsepTimeout:
        return Answer('blocked', f'no answer in {TIMEOUT_S:.0f} s')
    except OSError as e:
        kind = 'broken' if context.channel.running else 'lost'
        return Answer(kind, f'{type(e).__name__}: {e}'[:500])
    except Exception as e:  # whatever the daemon has raised
        return Answer('broken', f'{type(e).__name__}: {e}'[:500])
