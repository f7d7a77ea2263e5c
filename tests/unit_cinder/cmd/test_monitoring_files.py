# SPDX-License-Identifier: Apache-2.0
"""Dashboard, alerts and documentation name the metrics that there are."""

import json
from pathlib import Path
import re
import tomllib
import unittest

import yaml

from mydriver.cmd import metrics
from mydriver.cmd.monitoring import catalogue

ROOT = Path(__file__).parents[3]
DOC = ROOT / 'doc' / 'source' / 'monitoring.rst'
EXPORTED = {m.exported_name: m for m in catalogue.METRICS}
#: Histograms and summaries consist of several series.
SERIES = EXPORTED | {
    f'{name}_{part}': m for name, m in EXPORTED.items()
    for part in {'histogram': ('bucket', 'sum', 'count'),
                 'summary': ('sum', 'count')}.get(m.kind, ())}
#: Labels of all metrics, and of buckets.
ADDED = frozenset(('instance', 'job', 'le'))
_NAME = re.compile(r'\bmydriver_[a-z_]+')
_SELECTED = re.compile(r'\b(mydriver_[a-z_]+)\{([^}]*)\}')
_BY = re.compile(r'\bby \(([^)]*)\)')


def expressions():
    """Yield where an expression is, and its text."""
    for group in yaml.safe_load(metrics.text_of('alerts.yaml'))['groups']:
        for rule in group['rules']:
            yield rule['alert'], rule['expr']
    for panel in json.loads(metrics.text_of('dashboard.json'))['panels']:
        for target in panel.get('targets', ()):
            yield panel['title'], target['expr']


class FilesTest(unittest.TestCase):
    """``alerts.yaml`` and ``dashboard.json``."""

    def test_each_metric_is_exported(self):
        found = list(expressions())
        self.assertGreater(len(found), 30)
        for where, text in found:
            with self.subTest(where):
                names = _NAME.findall(text)
                self.assertNotEqual([], names)
                self.assertLessEqual(set(names), SERIES.keys())

    def test_each_label_is_one_of_its_metric(self):
        for where, text in expressions():
            labels = {label: name for name, some in _SELECTED.findall(text)
                      for label in re.findall(r'(\w+)[=!]', some)}
            for by in _BY.findall(text):
                labels |= {label.strip(): _NAME.findall(text)[0]
                           for label in by.split(',')}
            for label, name in labels.items():
                self.assertIn(label, ADDED.union(SERIES[name].labels), where)

    def test_each_metric_that_can_be_bad_has_an_alert(self):
        text = metrics.text_of('alerts.yaml')
        for name in ('scrape_success', 'drift_objects', 'pool_working',
                     'rival_warnings', 'gateways', 'login_failures_total',
                     'session_errors_total', 'store_free_bytes',
                     'event_log_gaps_total', 'operations_total',
                     'operation_duration_seconds'):
            self.assertIn(f'mydriver_{name}', text)

    def test_alerts_are_complete(self):
        rules = yaml.safe_load(metrics.text_of('alerts.yaml'))['groups'][0]
        names = [rule['alert'] for rule in rules['rules']]
        self.assertEqual(len(names), len(set(names)))
        for rule in rules['rules']:
            self.assertIn(rule['labels']['severity'],
                          ('warning', 'critical'))
            self.assertTrue(rule['annotations']['summary'])

    def test_totals_are_those_that_promtool_checks(self):
        """Backends with gateways are the same on each of their hosts."""
        checked = {
            one['expr'] for group in yaml.safe_load(
                (ROOT / 'tests/promtool/alerts.yaml').read_text())['tests']
            for one in group.get('promql_expr_test', ())}
        for name in ('exports', 'mappings', 'drift_objects'):
            text, = (text for _, text in expressions()
                     if text.startswith(f'sum((mydriver_{name}'))
            self.assertIn(re.sub(r'\{[^}]*\}', '', text), checked)

    def test_curves_tell_hosts_apart(self):
        for panel in json.loads(metrics.text_of('dashboard.json'))['panels']:
            for target in panel.get('targets', ()):
                if '{{backend}}' in (legend := target['legendFormat']):
                    self.assertIn('{{instance}}', legend, panel['title'])

    def test_panels_do_not_overlap(self):
        panels = json.loads(metrics.text_of('dashboard.json'))['panels']
        cells = [(x, y) for p in panels for at in (p['gridPos'],)
                 for x in range(at['x'], at['x'] + at['w'])
                 for y in range(at['y'], at['y'] + at['h'])]
        self.assertEqual(len(cells), len(set(cells)))
        self.assertLess(max(x for x, _ in cells), 24)
        self.assertEqual(len(panels), len({p['id'] for p in panels}))

    def test_they_are_in_the_package(self):
        data = tomllib.loads((ROOT / 'pyproject.toml').read_text())['tool'][
            'setuptools']['package-data']['mydriver']
        for name in ('alerts.yaml', 'dashboard.json'):
            self.assertIn(f'cmd/monitoring/{name}', data)

    def test_a_name_that_is_not_there_is_noticed(self):
        self.assertNotIn('mydriver_nothing', EXPORTED)


class DocumentationTest(unittest.TestCase):
    """doc/source/monitoring.rst against the code."""

    def test_the_table_of_metrics(self):
        rows = re.findall(
            r'^   \* - ``(mydriver_\w+)``\n     - (\w+)\n     - (.*)\n'
            r'     - ((?:.|\n {7})+)', DOC.read_text(), re.MULTILINE)
        self.assertEqual(
            [(m.exported_name, m.kind, ', '.join(m.labels) or 'none', m.text)
             for m in catalogue.METRICS],
            [(name, kind, labels.replace('``', ''), ' '.join(text.split()))
             for name, kind, labels, text in rows])

    def test_each_alert_says_what_to_do(self):
        described = [name for line in re.findall(
            '^``Mydriver.*', DOC.read_text(), re.MULTILINE)
            for name in re.findall(r'``(\w+)``', line)]
        self.assertEqual(len(described), len(set(described)))
        names = set(re.findall(r'alert: (\w+)',
                               metrics.text_of('alerts.yaml')))
        self.assertEqual(names, set(described))
