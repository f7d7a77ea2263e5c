# SPDX-License-Identifier: Apache-2.0
"""A small REST client for seeding and readiness.

It uses requests: importing openstacksdk takes longer than all of its requests
would. Scenarios use :meth:`lab.cloud.api.Cloud.connect`.
"""

from typing import Any

import requests

from lab.cloud import errors, settings
from lab.cloud.site import Site

_TIMEOUT_S = 60


class Client:
    """Sends requests as the admin user.

    :param site: the cloud; the calling thread is in its namespace.
    """

    def __init__(self, site: Site) -> None:
        self._password = site.passwords.admin
        self._session = requests.Session()
        self._session.trust_env = False   # ignore proxies of the caller

    def login(self) -> None:
        """Get a token, unless there is one.

        :raises requests.RequestException: when keystone does not answer.
        """
        if 'X-Auth-Token' in self._session.headers:
            return
        user = {'name': 'admin', 'domain': {'id': 'default'},
                'password': self._password}
        response = self._session.post(
            settings.url('keystone') + '/v3/auth/tokens', json={'auth': {
                'identity': {'methods': ['password'],
                             'password': {'user': user}},
                'scope': {'project': {'name': 'admin',
                                      'domain': {'id': 'default'}}}}},
            timeout=_TIMEOUT_S)
        response.raise_for_status()
        self._session.headers['X-Auth-Token'] = \
            response.headers['X-Subject-Token']

    def get(self, service: str, path: str) -> Any:
        """Return an API's answer, parsed.

        :raises requests.RequestException: when it does not answer, or answers
            with an error.
        """
        self.login()
        response = self._session.get(settings.url(service) + path,
                                     timeout=_TIMEOUT_S)
        response.raise_for_status()
        return response.json()

    def send(self, method: str, service: str, path: str,
             **kwargs: Any) -> Any:
        """Send a request; return the parsed answer, None if it is empty.

        :param kwargs: passed to :func:`requests.request`.
        :raises CloudError: when the API answers with an error, with its text.
        """
        self.login()
        url = settings.url(service) + path
        response = self._session.request(
            method, url, timeout=_TIMEOUT_S, **kwargs)
        if response.status_code >= 300:
            raise errors.CloudError(
                f'{method} {url}: {response.status_code} '
                f'{response.text[:400]}')
        return response.json() if response.text else None
