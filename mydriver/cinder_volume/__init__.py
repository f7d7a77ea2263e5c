# SPDX-License-Identifier: Apache-2.0
"""The Cinder volume driver.

An unsupported release of cinder is refused here, before anything of it is
imported that may not be there.
"""

from mydriver import releases

releases.check('cinder')
