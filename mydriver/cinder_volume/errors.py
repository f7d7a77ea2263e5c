# SPDX-License-Identifier: Apache-2.0
"""The one place where our errors are translated into Cinder's.

Cinder's manager acts on the type: an invalid connector becomes HTTP 400 when
``validate_connector`` raises it, a busy volume becomes ``available`` again
when ``delete_volume`` does, and an error of ``create_export`` that is not a
CinderException is logged without its volume. The text is always ours.
"""

from collections.abc import Iterator
import contextlib

from cinder import exception as cinder_exception

from mydriver import exception

_CINDERS: tuple[tuple[type[exception.MyDriverError],
                      type[cinder_exception.CinderException]], ...] = (
    (exception.ConnectorError, cinder_exception.InvalidConnectorException),
    (exception.InvalidIqn, cinder_exception.InvalidConnectorException),
    (exception.ConfigurationError,
     cinder_exception.InvalidConfigurationValue),
    (exception.TargetInUse, cinder_exception.VolumeIsBusy),
    (exception.UsedNatively, cinder_exception.VolumeIsBusy),
    (exception.MyDriverError, cinder_exception.VolumeDriverException),
)


def of_cinder(error: exception.MyDriverError
              ) -> cinder_exception.CinderException:
    """Return Cinder's error for one of ours, with our text."""
    return next(theirs for ours, theirs in _CINDERS
                if isinstance(error, ours))(str(error))


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise our errors as Cinder's; a context manager and a decorator."""
    try:
        yield
    except exception.MyDriverError as e:
        raise of_cinder(e) from e
