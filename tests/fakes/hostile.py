# SPDX-License-Identifier: Apache-2.0
"""Hostile input for parsers: strategies and settings of hypothesis.

Runs are reproducible: examples are derived from the test's name, and none are
kept from one run to the next.
"""

from typing import Any

import hypothesis
from hypothesis import strategies as st

from mydriver import exception

#: Limits a test module to a few seconds.
FUZZ = hypothesis.settings(
    derandomize=True, database=None, deadline=None, max_examples=100,
    suppress_health_check=list(hypothesis.HealthCheck))

#: The maximum length of a parser's error, in characters.
TEXT_MAX = 2500


class Text(str):
    """A text that is abbreviated in the output of a failed test."""

    def __repr__(self) -> str:
        return f'<{len(self)} times {self[0]!a}>'


class Number(int):
    """An integer that Python refuses to print."""

    def __repr__(self) -> str:
        return f'<{self.bit_length()} bits>'

    __str__ = int.__repr__


#: All of Unicode, including lone surrogates and control characters.
text = st.text(st.characters(exclude_categories=()), max_size=40)

#: ASCII digits, and others that ``int`` and ``\\d`` accept.
digits = st.text(st.sampled_from(
    '0123456789\u0660\u0661\u0663\u0669\u0966\u0967\u07c0_+- '),
    min_size=1, max_size=6)

huge = st.sampled_from([
    Text('x' * 10 ** 6), Text('1' * 5000), Text('\ud800' * 10 ** 5),
    Text('a.' * 10 ** 5), Text('[' * 10 ** 4), Number(10 ** 5000),
    Number(-(10 ** 5000))])

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), text, digits,
    st.binary(max_size=20), huge)

#: Any value that JSON or msgpack can contain, and more.
anything = st.recursive(
    scalars, lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner, inner),
        st.dictionaries(st.one_of(text, st.integers()), inner, max_size=4)),
    max_leaves=8)

#: Values that are almost well-formed.
iqns = st.sampled_from([
    'iqn.2010-10.org.openstack:t-0', 'iqn.2010-10.org.openstack',
    'IQN.2010-10.ORG.OPENSTACK:T',
    'iqn.\u0662\u0660\u0661\u0660-10.org.openstack:x',
    'iqn.2010-10.org.openstac\u212a:x', 'iqn.2010-10.org.openstack:\ud800',
    'iqn.2010-10.org.openstack:\n', 'iqn.2010-10.org.openstack:../x', ''])
portals = st.sampled_from([
    '192.0.2.1:3260', '[2001:db8::1]:3260', '192.0.2.1',
    '192.0.2.1:\u0663\u0662\u0666\u0660', '[fe80::1%eth0]:3260',
    '192.0.2.1:0', '192.0.2.1:99999', '192.0.2.1:3260\n',
    '[192.0.2.1]:3260', '\u0661\u0669\u0662.0.2.1:3260', '[::1',
    Text('3' * 5000), '[\ud800]:3260'])
luns = st.sampled_from([0, 1, 255, 256, 16383, 16384, -1, True, 7.0, '7',
                        '\u0667', float('nan'), float('inf')])


def mutated(good: dict[str, Any],
            near: dict[str, st.SearchStrategy[Any]]
            ) -> st.SearchStrategy[dict[Any, Any]]:
    """Return dicts that differ from a valid one in a few keys.

    :param good: the valid one.
    :param near: almost valid values for some of the keys.
    """
    values = {key: st.one_of(near.get(key, st.nothing()), anything)
              for key in {**good, **near}}
    changes = st.lists(st.sampled_from(sorted(values)), max_size=3,
                       unique=True).flatmap(lambda keys: st.fixed_dictionaries(
                           {key: values[key] for key in keys}))
    gone = st.lists(st.sampled_from(sorted(good)), max_size=1)
    return st.builds(
        lambda change, drop, more: {
            k: v for k, v in {**good, **more, **change}.items()
            if k not in drop},
        changes, gone, st.dictionaries(text, anything, max_size=1))


def check_text(error: exception.MyDriverError, *secrets: str,
               most: int = TEXT_MAX) -> None:
    """Check that an error's text is short, can be logged, and has no secrets.

    :param error: the parser's error.
    :param secrets: texts that must not appear in it.
    :param most: the maximum length in characters.
    :raises AssertionError: when the text violates one of these.
    """
    said = str(error)
    said.encode()
    assert len(said) <= most, f'{len(said)} characters'
    for secret in secrets:
        assert secret not in f'{said}{error!r}', 'it shows a secret'
