# SPDX-License-Identifier: Apache-2.0
"""Fuzzing the connectors that Cinder passes to the driver."""

from cinder import exception as cinder_exception
import hypothesis
from hypothesis import strategies as st

from tests.fakes import cinder as fakes
from tests.fakes import hostile

GOOD = {**fakes.connector(), 'mode': 'rw',
        'mydriver': {'version': 1, 'mutual_chap': True}}

connectors = st.one_of(hostile.anything.filter(lambda c: c is not None),
                       hostile.mutated(GOOD, {
                           'initiator': hostile.iqns,
                           'mode': st.sampled_from(['ro', 'rw', 'RO']),
                           'mydriver': hostile.anything}))


class ConnectorTest(fakes.CinderTestCase):
    """Served, or refused with InvalidConnectorException and no change."""

    def setUp(self):
        super().setUp()
        self.driver = self.started_driver()
        self.volume = fakes.volume(volume_attachment=[
            fakes.attachment('iqn.1993-08.org.debian:01:other')])
        self.driver.create_volume(self.volume)
        self.driver.create_export(None, self.volume, fakes.connector())
        self.driver.initialize_connection(
            self.volume, fakes.connector('iqn.1993-08.org.debian:01:other'))

    def state(self):
        """Return all that the target and the journal have."""
        engine = self.driver.engine
        return (engine.mapped(), engine.exported(), engine.journal.mappings(),
                engine.journal.exports())

    def refused(self, call, connector):
        """Tell whether a call was refused; nothing was changed then."""
        before = self.state()
        try:
            call(connector)
        except cinder_exception.InvalidConnectorException as e:
            str(e).encode()
            self.assertLess(len(str(e)), hostile.TEXT_MAX)
            self.assertEqual(before, self.state())
            return True
        return False

    @hypothesis.settings(hostile.FUZZ, max_examples=60)
    @hypothesis.given(connectors)
    def test_connector(self, connector):
        invalid = self.refused(self.driver.validate_connector, connector)
        for call in (
                lambda c: self.driver.initialize_connection(self.volume, c),
                lambda c: self.driver.terminate_connection(self.volume, c)):
            self.assertEqual(invalid, self.refused(call, connector))
        self.assertIn(
            (self.volume.id, 'iqn.1993-08.org.debian:01:other', False),
            self.driver.engine.mapped())
