# SPDX-License-Identifier: Apache-2.0
"""The driver's signatures match the calls of this release of Cinder.

The interface's own check (cinder.interface.base) looks at names alone, and
the interface does not name every argument that the manager passes. So every
call of the driver in Cinder's source is bound to our method's signature.
"""

import ast
from collections.abc import Iterator
import importlib.metadata
import inspect
import pathlib
import unittest

import cinder
from cinder import interface
from cinder.interface import volume_driver
from cinder.volume import driver as cinder_driver

from mydriver.cinder_volume import driver

SOURCE = pathlib.Path(cinder.__file__).parent
CALLERS = (
    ('volume/manager.py', 'self.driver'),
    ('volume/flows/manager/create_volume.py', 'self.driver'),
    ('volume/flows/manager/manage_existing.py', 'self.driver'),
    ('volume/flows/manager/manage_existing_snapshot.py', 'self.driver'),
    ('volume/volume_utils.py', 'driver'),
    ('utils.py', 'driver'),
)

#: What we implement; replication and the like we do not, and Cinder
#: asks first or catches NotImplementedError.
OURS = {
    'check_for_setup_error', 'clean_volume_file_locks', 'clone_image',
    'copy_image_to_encrypted_volume', 'copy_image_to_volume',
    'copy_volume_to_image', 'create_cloned_volume',
    'create_export', 'create_group', 'create_group_from_src',
    'create_group_snapshot', 'create_snapshot', 'create_volume',
    'create_volume_from_snapshot', 'delete_group', 'delete_group_snapshot',
    'delete_snapshot', 'delete_volume',
    'do_setup', 'ensure_export', 'extend_volume', 'get_manageable_snapshots',
    'get_manageable_volumes', 'get_pool',
    'initialize_connection', 'manage_existing', 'manage_existing_get_size',
    'manage_existing_snapshot', 'manage_existing_snapshot_get_size',
    'migrate_volume',
    'remove_export', 'retype',
    'revert_to_snapshot', 'snapshot_revert_use_temp_snapshot',
    'terminate_connection', 'unmanage', 'unmanage_snapshot',
    'update_group', 'update_migrated_volume', 'validate_connector',
}


def calls(text: str, receiver: str) -> Iterator[tuple[str, ast.Call]]:
    """Give each call of a method of ``receiver`` in a module's source."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(
                node.func, ast.Attribute) and ast.unparse(
                node.func.value) == receiver:
            yield node.func.attr, node


def bind(method: str, call: ast.Call) -> None:
    """Bind a call to our method as Python would.

    :raises TypeError: when it does not fit.
    """
    signature = inspect.signature(getattr(driver.LIODriver, method))
    is_class_method = inspect.ismethod(getattr(driver.LIODriver, method))
    positional = [] if is_class_method else ['self']
    positional += [ast.unparse(a) for a in call.args]
    signature.bind(*positional,
                   **{k.arg: None for k in call.keywords if k.arg})


class InterfaceTest(unittest.TestCase):
    """Names and signatures."""

    def test_it_is_registered_as_a_driver(self):
        self.assertIn(driver.LIODriver, interface._volume_register)
        self.assertRegex(driver.LIODriver.VERSION, r'^\d+\.\d+\.\d+')
        self.assertEqual(importlib.metadata.version('mydriver'),
                         driver.LIODriver.VERSION)

    def test_cinders_own_check(self):
        self.assertTrue(issubclass(driver.LIODriver,
                                   volume_driver.VolumeDriverCore))

    def test_every_call_of_the_manager_fits(self):
        bound = set()
        for path, receiver in CALLERS:
            text = (SOURCE / path).read_text()
            for method, call in calls(text, receiver):
                if not hasattr(driver.LIODriver, method):
                    continue  # asked for with an AttributeError in mind
                with self.subTest(f'{path}:{call.lineno} {method}'):
                    bind(method, call)
                bound.add(method)
        self.assertEqual(set(), OURS - bound, 'never called by this Cinder')

    def test_every_call_of_the_base_class_fits(self):
        text = pathlib.Path(inspect.getfile(cinder_driver)).read_text()
        bound = set()
        for method, call in calls(text, 'self'):
            if method in OURS:
                with self.subTest(f'{call.lineno} {method}'):
                    bind(method, call)
                bound.add(method)
        self.assertLessEqual({'create_export', 'initialize_connection',
                              'terminate_connection', 'remove_export'},
                             bound)

    def test_arguments_have_the_names_of_cinder(self):
        for method in sorted(OURS):
            theirs = inspect.signature(getattr(cinder_driver.VolumeDriver,
                                               method))
            ours = inspect.signature(getattr(driver.LIODriver, method))
            names = [n for n, p in theirs.parameters.items()
                     if p.kind is p.POSITIONAL_OR_KEYWORD]
            with self.subTest(method):
                self.assertEqual(names, [
                    n for n, p in ours.parameters.items()
                    if p.kind is p.POSITIONAL_OR_KEYWORD][:len(names)])

    def test_every_method_of_ours_is_looked_at(self):
        mine = {n for part in driver.LIODriver.__mro__
                if part.__module__.startswith('mydriver.')
                for n in vars(part)
                if not n.startswith('_') and callable(
                    getattr(driver.LIODriver, n))}
        self.assertEqual(OURS, mine - {
            'get_driver_options', 'backup_use_temp_snapshot',
            'get_default_filter_function', 'get_default_goodness_function',
            'assemble', 'backend'})


class CallFinderTest(unittest.TestCase):
    """The check itself can fail."""

    def test_a_call_that_does_not_fit_is_refused(self):
        found = dict(calls('self.driver.extend_volume(v)\n'
                           'other.extend_volume(v, 2)', 'self.driver'))
        with self.assertRaises(TypeError):
            bind('extend_volume', found['extend_volume'])

    def test_a_keyword_that_is_unknown_is_refused(self):
        found = dict(calls('self.driver.create_volume(v, why=1)',
                           'self.driver'))
        with self.assertRaises(TypeError):
            bind('create_volume', found['create_volume'])
