# SPDX-License-Identifier: Apache-2.0
"""What parsers have to survive: strategies for hypothesis, and its settings.

Runs are the same each time: examples come from the test's own name, and none
are kept from one run to the next.
"""

from typing import Any

import hypothesis
from hypothesis import strategies as st

from mydriver import exception

#: So that a module stays within seconds.
FUZZ = hypothesis.settings(
    derandomize=True, database=None, deadline=None, max_examples=100,
    suppress_health_check=list(hypothesis.HealthCheck))

#: No parser's error may be longer, in characters.
TEXT_MAX = 2500


class Text(str):
    """A text that is not shown whole where a test fails."""

    def __repr__(self) -> str:
        return f'<{len(self)} times {self[0]!a}>'


class Number(int):
    """An integer that Python refuses to print."""

    def __repr__(self) -> str:
        return f'<{self.bit_length()} bits>'

    __str__ = int.__repr__


#: All of Unicode, lone surrogates and control characters too.
text = st.text(st.characters(exclude_categories=()), max_size=40)

#: ASCII digits, and those that ``int`` and ``\\d`` take for the like.
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

#: Any value that JSON or msgpack could bring, and more.
anything = st.recursive(
    scalars, lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner, inner),
        st.dictionaries(st.one_of(text, st.integers()), inner, max_size=4)),
    max_leaves=8)

#: Near misses of what is well-formed.
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
    """Return dicts that differ from a good one in a few of its keys.

    :param near: values for some keys that are nearly right.
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
    """See that an error's text is bounded, can be logged, and keeps secrets.

    :raises AssertionError: when it does not.
    """
    said = str(error)
    said.encode()
    assert len(said) <= most, f'{len(said)} characters'
    for secret in secrets:
        assert secret not in f'{said}{error!r}', 'it shows a secret'
