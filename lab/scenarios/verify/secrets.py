# SPDX-License-Identifier: Apache-2.0
"""Search logs, arguments, the journal and databases for secrets.

Those are of CHAP, and the keys of Ceph's users.
"""

from lab.scenario.expect import expect
from lab.scenarios.verify.bench import GIB, Bench

#: Two for each of the four targets: the initiator's, and the target's own.
_COUNT = 8

#: Seconds that command lines are noted for.
_WATCHED_S = 25


class Secrets:
    """Attaches a volume, and searches for the secrets of that.

    :param bench: has a server and two volumes.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._arguments: dict[str, str] = {}

    def attach(self) -> str:
        """Attach the first volume while all command lines are noted."""
        bench = self._bench

        def act() -> None:
            bench.clients.attach('', bench.server, bench.volumes[0])
            bench.guest.wait('disk', 'vdb', 'wrote')

        self._arguments = bench.look.arguments_during(act, _WATCHED_S)
        lines = sum(len(a.splitlines()) for a in self._arguments.values())
        return (f'{lines} distinct command lines seen; '
                + bench.observer.attached(bench.volumes[0], GIB))

    def search(self) -> str:
        """Search everything for the secrets in use."""
        look = self._bench.look
        secrets = look.secrets()
        expect(len(secrets) == _COUNT,
               f'{len(secrets)} secrets, not {_COUNT}')
        keys = look.ceph_keys()
        bad = []
        for kind, texts in (
                ('log', look.logs()),
                ('arguments on', {**self._arguments,
                                  'this machine': look.host_arguments()}),
                ('', {'journal':
                      '\n'.join(self._bench.observer.journal()),
                      'options of RBD mappings': look.mappings()})):
            bad += [f'{kind} {name} ({label})'.strip()
                    for name, text in texts.items()
                    for label, secret in (secrets | keys).items()
                    if secret in text]
        bad += [f'node record {name} ({user})'
                for name, text in look.records().items()
                for user, key in keys.items() if key in text]
        bad += [f'database {name} ({user})'
                for name, raw in look.databases().items()
                for user, key in keys.items() if key.encode() in raw]
        records = [name for name, text in look.records().items()
                   if any(s in text for s in secrets.values())]
        rows = [name for name, raw in look.databases().items()
                if any(s.encode() in raw for s in secrets.values())]
        expect(not bad, f'secrets are in: {bad}; also in node records '
               f'{records} and in the databases {rows}')
        return ('not in any log, argument list or the journal; known places: '
                f'configfs, node records {records}, databases (Cinder\'s '
                f'attachment, Nova\'s block device mapping) {rows}')
