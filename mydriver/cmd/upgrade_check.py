# SPDX-License-Identifier: Apache-2.0
"""``mydriver-status upgrade check``: is this host ready for this release?

It runs with the new release's code, before the services are restarted with
it, and changes nothing. Form and exit status are those of oslo.upgradecheck:
0 for success, 1 with warnings, 2 with failures, 255 for an error of its own.

It imports neither cinder nor nova, and needs neither extra, so it works on
both kinds of host.
"""

import argparse
from collections.abc import Sequence
import contextlib
import importlib.metadata
import os
import sys

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck

from mydriver import configuration, exception, releases
from mydriver.backend import opts, settings
from mydriver.cmd import backends, driver_names, identity, option_names, tables
from mydriver.target.journal import sqlite

#: Group, name and value of the entry points that the services look for.
ENTRY_POINTS = (
    ('oslo.config.opts', 'mydriver', 'mydriver.opts:list_opts'),
    ('os_vif', 'mydriver',
     'mydriver.nova_virt.entry_point:NovaVirtFinderPlugin'),
    ('nova.virt.libvirt.volume_drivers', 'iscsi',
     'mydriver.nova_virt.volume:LibvirtISCSIVolumeDriver'),
)

#: Exit status of an error, as oslo.upgradecheck has it.
_ERROR = 255

_SUCCESS, _WARNING, _FAILURE = (
    upgradecheck.Code.SUCCESS, upgradecheck.Code.WARNING,
    upgradecheck.Code.FAILURE)


class Checks(upgradecheck.UpgradeCommands):
    """The checks.

    :param conf: names the files with the configuration of cinder-volume.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        super().__init__()
        self._conf = conf
        self._found: list[backends.Backend] | None = None

    @property
    def _files(self) -> list[str]:
        return list(map(os.path.abspath, self._conf.config_file or ()))

    @property
    def _directories(self) -> list[str]:
        return list(self._conf.config_dir or ())

    def _backends(self) -> list[backends.Backend]:
        """Return this driver's backends, empty on other hosts.

        :raises ConfigurationError: when there are files, but none of it.
        """
        if self._found is None:
            self._found = backends.read(
                self._files, directories=self._directories
            ) if self._files or self._directories else []
        return self._found

    # -- the checks

    def _release(self) -> upgradecheck.Result:
        found = {project: version for project in ('cinder', 'nova')
                 if (version := releases.version_of(project))}
        if not found:
            return upgradecheck.Result(_FAILURE, (
                f'Neither cinder nor nova is installed in {sys.prefix}. Run '
                'the mydriver-status of the environment that the service has.'
            ))
        warnings = []
        try:
            for project, version in found.items():
                warnings += releases.concerns(project, version)
        except exception.UnsupportedRelease as e:
            return upgradecheck.Result(_FAILURE, str(e))
        # What it says of Python is the same for both.
        return _result(_WARNING, list(dict.fromkeys(warnings)), ', '.join(
            [f'mydriver {releases.own()}',
             *(f'{p} {v}' for p, v in found.items())]))

    def _entry_points(self) -> upgradecheck.Result:
        return _result(_FAILURE, wrong_entry_points(),
                       f'{len(ENTRY_POINTS)} registered')

    def _options(self) -> upgradecheck.Result:
        wrong = [str(one) for one in driver_names.misspelt(
            configuration.parse(configuration.files_of(
                self._files, self._directories)))]
        try:
            found = self._backends()
        except exception.ConfigurationError as e:
            return _result(_FAILURE if wrong else _WARNING, [
                *wrong, f'No backend is checked. {e}'])
        if not found:
            return upgradecheck.Result(
                _SUCCESS, 'There is no configuration of cinder-volume here')
        wrong += [w for backend in found for w in invalid(backend)]
        wrong += shared_places(found)
        names = [backend.name for backend in found]
        # Also after a failure: one that is missing may be misspelt.
        odd = [str(concern) for concern in option_names.concerns(
            self._files, self._directories, names)]
        return _result(_FAILURE if wrong else _WARNING, wrong + odd,
                       f'Checked: {", ".join(names)}')

    def _journals(self) -> upgradecheck.Result:
        try:
            found = self._backends()
        except exception.ConfigurationError:
            found = []  # told above
        identity.become_owner(_state_paths(found))
        seen: list[str] = []
        old: list[str] = []
        wrong: list[str] = []
        for backend in found:
            try:
                text, is_old = _journal(backend)
            except exception.MyDriverError as e:
                wrong.append(f'{backend.name}: {e}')
            else:
                (old if is_old else seen).append(f'{backend.name}: {text}')
        return _result(_FAILURE if wrong else _WARNING, wrong + old,
                       '; '.join(seen) or 'No backend has a journal here')

    _upgrade_checks = (
        ('Release of OpenStack', _release),
        ('Entry points', _entry_points),
        ('Options', _options),
        ('Journals', _journals),
    )


def wrong_entry_points() -> list[str]:
    """Return what is wrong with the entry points, a sentence each."""
    wrong = []
    for group, name, value in ENTRY_POINTS:
        values = {e.value for e in importlib.metadata.entry_points(
            group=group, name=name)}
        if value not in values:
            wrong.append(f'{name} of {group} is not registered in '
                         f'{sys.prefix}: install the package there.')
        elif others := sorted(values - {value}):
            wrong.append(f'{", ".join(others)} is registered as {name} of '
                         f'{group}, too: remove one of the packages.')
    return wrong


def _result(code: upgradecheck.Code, problems: Sequence[str],
            otherwise: str = '') -> upgradecheck.Result:
    """Return the problems with a code; without any, success."""
    return upgradecheck.Result(
        code if problems else _SUCCESS,
        tables.safe_line(' '.join(problems) or otherwise))


def invalid(backend: backends.Backend) -> list[str]:
    """Return what is wrong with the values of a backend's options."""
    wrong = []
    for option in opts.VOLUME_OPTS:
        try:
            backend.section.safe_get(option.dest)
        except exception.ConfigurationError as e:
            wrong.append(str(e))
    if not wrong:
        try:
            _ = backend.state_path
            _ = backend.settings
            settings.refuse_replication(backend.section)
            # It opens nothing.
            settings.store_of(backend.section, backend.name)
        except exception.MyDriverError as e:
            where = f'[{backend.name}] '
            wrong.append(where + str(e).removeprefix(where))
    return wrong


def shared_places(found: Sequence[backends.Backend]) -> list[str]:
    """Return which backends have the same place, a sentence for each place."""
    places: dict[str, tuple[str, list[str]]] = {}
    for backend in found:
        # A store that cannot be built has been told of.
        with contextlib.suppress(exception.MyDriverError, ImportError):
            store = settings.store_of(backend.section, backend.name)
            places.setdefault(
                os.path.realpath(store.location), (store.location, [])
                )[1].append(backend.name)
    return [f'[{"] and [".join(names)}] keep their volumes in the same place, '
            f'{place}. Give each backend a place of its own.'
            for place, names in places.values() if len(names) > 1]


def _state_paths(found: Sequence[backends.Backend]) -> list[str]:
    paths = []
    for backend in found:
        try:
            paths.append(backend.state_path)
        except exception.ConfigurationError:
            continue  # told by the check of the options
    return paths


def _journal(backend: backends.Backend) -> tuple[str, bool]:
    """Return what is known of a journal, and whether it will be upgraded.

    :raises MyDriverError: when this release cannot read it.
    """
    if backend.has_gateways:
        # Late: it needs rtslib, which compute hosts do not have.
        from mydriver.cmd import gateways
        with gateways.journal(backend) as journal:
            return f'in Ceph, {len(journal.targets())} targets', False
    if not backend.has_journal():
        return 'none yet', False
    found, own = sqlite.version(backend.journal_path)
    if found == own:
        return f'version {found}', False
    return (
        f'version {found}, which cinder-volume upgrades to {own} when it '
        'starts. Earlier releases cannot read that: before you go back, stop '
        'cinder-volume and run mydriver journal downgrade --to '
        f'{found}.'), True


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line.

    :param argv: its arguments; default: those of the process.
    :returns: the exit status.
    """
    conf = cfg.ConfigOpts()
    words = list(sys.argv[1:] if argv is None else argv)
    by_default = cfg.find_config_files('cinder', 'cinder-volume')
    named = _named(words)
    try:
        with configuration.named(named.config_file or by_default,
                                 named.config_dir):
            return int(upgradecheck.main(
                conf, project='cinder', upgrade_command=Checks(conf),
                argv=words, default_config_files=by_default))
    except (cfg.Error, exception.ConfigurationError) as e:
        print(e, file=sys.stderr)
        return _ERROR


def _named(argv: Sequence[str]) -> argparse.Namespace:
    """Return the configuration that arguments name."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for option in ('--config-file', '--config-dir'):
        parser.add_argument(option, action='append', default=[])
    return parser.parse_known_args(argv)[0]


if __name__ == '__main__':
    sys.exit(main())
