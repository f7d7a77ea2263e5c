# SPDX-License-Identifier: Apache-2.0
"""The translation to Cinder's errors."""

import unittest

from cinder import exception as cinder_exception
import ddt

from mydriver import exception
from mydriver.cinder_volume import errors


def every_error() -> list[exception.MyDriverError]:
    """Return an instance of each of our errors."""
    found, kinds = [], [exception.MyDriverError]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        found.append(kind(*(f'<{name}>' for name in kind.fields)))
    return found


@ddt.ddt
class ErrorsTest(unittest.TestCase):
    """The errors that Cinder's manager gets."""

    @ddt.data(
        (exception.InvalidConnector('no initiator'),
         cinder_exception.InvalidConnectorException),
        (exception.ConfigurationError('x', 'is wrong', 'Mend it.'),
         cinder_exception.InvalidConfigurationValue),
        (exception.TargetInUse('v', 'iqn'), cinder_exception.VolumeIsBusy),
        (exception.StoreFull('/srv', 2, 1),
         cinder_exception.VolumeDriverException),
        (exception.BackingNotFound('volume-x', '/srv'),
         cinder_exception.VolumeDriverException),
    )
    @ddt.unpack
    def test_the_type_that_the_manager_acts_on(self, ours, theirs):
        with self.assertRaises(theirs) as caught, errors.translated():
            raise ours
        self.assertIs(theirs, type(caught.exception))
        self.assertIn(str(ours), caught.exception.msg)
        self.assertIs(ours, caught.exception.__cause__)

    def test_every_error_keeps_its_text(self):
        for error in every_error():
            with self.subTest(type(error).__name__):
                translated = errors.of_cinder(error)
                self.assertIn(str(error), str(translated))
                self.assertIn(str(error), translated.msg)

    def test_a_percent_sign_does_no_harm(self):
        error = exception.StoreError('do 100% of %(it)s', '%s')
        self.assertIn(str(error), str(errors.of_cinder(error)))

    def test_errors_of_others_pass(self):
        for error in (ValueError('x'), cinder_exception.ImageTooBig(
                image_id='x', reason='y')):
            with self.assertRaises(type(error)) as caught, \
                    errors.translated():
                raise error
            self.assertIs(error, caught.exception)

    def test_it_decorates_and_keeps_the_signature(self):
        @errors.translated()
        def fail(volume, size=1):
            """Fail."""
            raise exception.StoreError(volume, str(size))
        for _ in range(2):
            with self.assertRaisesRegex(
                    cinder_exception.VolumeDriverException, 'grow: 2'):
                fail('grow', size=2)
        self.assertEqual('Fail.', fail.__doc__)
