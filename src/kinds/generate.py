#!/usr/bin/env python3
"""Turn the API facts (facts/*.json, one file a group and version) into C tables at build time.

usage: generate.py FACTS_DIR OUTPUT_DIR

Writes fields.h (F_POD_SPEC_NODE_NAME: a number for every field name), schemas.h and schemas.c (one struct schema for every
type, the table of names, the list of all named schemas). Facts are data copied from the API definition; docs.json holds our own
short sentences for the most used fields. What each column means is said in object/schema.h.
"""
import json
import os
import re
import sys

# Go package of the facts file -> (C prefix, OpenAPI package). The order settles who keeps the short F_ name of a type that
# several groups have: the first one does, the others get the prefix of their group.
PACKAGES = {
    'core_v1': 'io.k8s.api.core.v1',
    'meta_v1': 'io.k8s.apimachinery.pkg.apis.meta.v1',
    'apps_v1': 'io.k8s.api.apps.v1',
    'batch_v1': 'io.k8s.api.batch.v1',
    'rbac_v1': 'io.k8s.api.rbac.v1',
    'authentication_v1': 'io.k8s.api.authentication.v1',
    'authorization_v1': 'io.k8s.api.authorization.v1',
    'autoscaling_v2': 'io.k8s.api.autoscaling.v2',
    'autoscaling_v1': 'io.k8s.api.autoscaling.v1',
    'networking_v1': 'io.k8s.api.networking.v1',
    'policy_v1': 'io.k8s.api.policy.v1',
    'discovery_v1': 'io.k8s.api.discovery.v1',
    'events_v1': 'io.k8s.api.events.v1',
    'coordination_v1': 'io.k8s.api.coordination.v1',
    'scheduling_v1': 'io.k8s.api.scheduling.v1',
    'storage_v1': 'io.k8s.api.storage.v1',
    'node_v1': 'io.k8s.api.node.v1',
    'certificates_v1': 'io.k8s.api.certificates.v1',
    'flowcontrol_v1': 'io.k8s.api.flowcontrol.v1',
    'resource_v1': 'io.k8s.api.resource.v1',
    'admission_v1': 'io.k8s.api.admission.v1',
    'admissionregistration_v1': 'io.k8s.api.admissionregistration.v1',
    'apiextensions_v1': 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1',
    'apiregistration_v1': 'io.k8s.kube-aggregator.pkg.apis.apiregistration.v1',
    'apidiscovery_v2': 'io.k8s.api.apidiscovery.v2',
    'metrics_v1beta1': 'io.k8s.metrics.pkg.apis.metrics.v1beta1',
}
IMPORTS = {'metav1': 'meta_v1', 'corev1': 'core_v1', 'apiv1': 'core_v1', 'v1': 'core_v1',
           'authenticationv1': 'authentication_v1'}
SCALARS = {'string': 'STRING', 'bool': 'BOOL', 'int32': 'INT32', 'int64': 'INT64', 'uint32': 'UINT32',
           'float64': 'DOUBLE', 'interface{}': 'JSON'}
# Go types with a JSON form of their own: (schema type, OpenAPI name, Go name).
SPECIAL = {
    'meta_v1.Time': ('TIME', 'io.k8s.apimachinery.pkg.apis.meta.v1.Time', 'v1.Time'),
    'meta_v1.MicroTime': ('MICRO_TIME', 'io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime', 'v1.MicroTime'),
    'meta_v1.Duration': ('DURATION', 'io.k8s.apimachinery.pkg.apis.meta.v1.Duration', 'v1.Duration'),
    'meta_v1.FieldsV1': ('FIELDS_V1', 'io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1', 'v1.FieldsV1'),
    'resource.Quantity': ('QUANTITY', 'io.k8s.apimachinery.pkg.api.resource.Quantity', 'resource.Quantity'),
    'intstr.IntOrString': ('INT_OR_STRING', 'io.k8s.apimachinery.pkg.util.intstr.IntOrString', 'intstr.IntOrString'),
    'runtime.RawExtension': ('RAW', 'io.k8s.apimachinery.pkg.runtime.RawExtension', 'runtime.RawExtension'),
    'types.UID': ('STRING', None, 'types.UID'),
}
for _name in ('JSON', 'JSONSchemaPropsOrBool', 'JSONSchemaPropsOrArray', 'JSONSchemaPropsOrStringArray'):
    SPECIAL['apiextensions_v1.' + _name] = ('JSON', PACKAGES['apiextensions_v1'] + '.' + _name, 'v1.' + _name)
DEFAULT_CONSTANTS = {'ref(AzureDataDiskCachingReadWrite)': '"ReadWrite"', 'ref(AzureSharedBlobDisk)': '"Shared"'}
# meta/v1 roots belong to every group; they are served in the core one.
GROUP_OF = {'meta_v1': ('', 'v1')}


def words(name):
    """clusterIPs -> cluster IPs; HTTPGetAction -> HTTP Get Action."""
    return re.findall(r'[A-Z]{2,}s(?![a-z])|[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+[0-9]*|[0-9]+', name)


def snake(name):
    return '_'.join(words(name)).lower()


def quote(text):
    return 'NULL' if text is None else json.dumps(text, ensure_ascii=True)


class Generator:
    def __init__(self, facts_dir):
        self.packages = {}
        for package in PACKAGES:
            with open(os.path.join(facts_dir, package + '.json')) as f:
                self.packages[package] = json.load(f)
        with open(os.path.join(facts_dir, 'docs.json')) as f:
            self.docs = json.load(f)
        # Not in the facts: an empty struct, the triples of names, and the envelope of a watch.
        self.packages['apiextensions_v1']['types']['CustomResourceSubresourceStatus'] = {'fields': []}
        self.packages['meta_v1']['types']['WatchEvent'] = {'fields': [
            {'json': 'type', 'type': 'string', 'proto': 1}, {'json': 'object', 'type': 'runtime.RawExtension', 'proto': 2}]}
        for last in ('kind', 'resource'):
            self.packages['meta_v1']['types']['GroupVersion' + last.capitalize()] = {'fields': [
                {'json': n, 'type': 'string', 'proto': i + 1} for i, n in enumerate(('group', 'version', last))]}
        self.definitions = {}       # C name -> definition text
        self.arrays = []            # helper arrays, in order
        self.array_names = {}
        self.named = []             # C names of schemas that have an OpenAPI name
        self.public = []            # C names declared in schemas.h
        names = set()
        for package in self.packages.values():
            for t in package['types'].values():
                names.update(f['json'] for f in t['fields'])
        names.discard('')
        names.discard('-')
        self.names = [None] + sorted(names)
        self.ids = {n: i for i, n in enumerate(self.names)}

    # -- types ------------------------------------------------------------------------------------------------

    def locate(self, go, package):
        """('core_v1', 'PodSpec') for a Go type as written in `package`."""
        if '.' not in go:
            return package, go
        head, tail = go.split('.', 1)
        if head == 'v1' and package == 'apidiscovery_v2':
            return 'meta_v1', tail
        return IMPORTS.get(head, head), tail

    def go_name(self, go, package):
        if go.startswith('*'):
            return self.go_name(go[1:], package)
        if go.startswith('[]'):
            return '[]' + self.go_name(go[2:], package)
        m = re.match(r'map\[([^]]+)\](.*)$', go)
        if m:
            return 'map[%s]%s' % (self.go_name(m.group(1), package), self.go_name(m.group(2), package))
        if go in SCALARS or go == 'byte':
            return go
        where, name = self.locate(go, package)
        if where in PACKAGES:
            return where.split('_')[-1] + '.' + name
        return go

    def array(self, kind, values):
        """A constant array shared by everyone who needs the same one; returns its C name."""
        key = (kind, tuple(values))
        if key not in self.array_names:
            name = '%s_%d' % (kind, len(self.array_names))
            self.array_names[key] = name
            text = ', '.join(quote(v) for v in values)
            self.arrays.append('static const char *const %s[] = { %s, NULL };' % (name, text))
        return self.array_names[key]

    def define(self, c_name, public=False, **columns):
        text = ', '.join('.%s = %s' % (k, v) for k, v in columns.items() if v not in (None, 'NULL', 'false'))
        self.definitions[c_name] = '%sconst struct schema %s = { %s };' % ('' if public else 'static ', c_name, text)
        if public:
            self.public.append(c_name)

    def schema(self, go, package, field=None):
        """C name of the schema of a Go type; `field` (a facts row) may change how a list, map or struct is owned."""
        markers = dict(m.split('=', 1) for m in (field or {}).get('markers', []) if '=' in m)
        go = go.lstrip('*')
        if go == '[]byte':
            return self.scalar('bytes', 'BYTES', None, '[]byte')
        if go.startswith('[]'):
            return self.list_schema(go, package, field)
        m = re.match(r'map\[([^]]+)\](.*)$', go)
        if m:
            item = self.schema(m.group(2), package)
            atomic = markers.get('mapType') == 'atomic'
            c = 'map_%s%s_%s' % ('atomic_' if atomic else '', snake(m.group(1).split('.')[-1]), item.replace('schema_', ''))
            if c not in self.definitions:
                self.define(c, type='SCHEMA_MAP', go_name=quote(self.go_name(go, package)), item='&' + item,
                            atomic='true' if atomic else 'false')
            return c
        if go in SCALARS:
            return self.scalar(re.sub(r'\W', '', go), SCALARS[go], None, go)
        where, name = self.locate(go, package)
        if where + '.' + name in SPECIAL:
            kind, openapi, go_text = SPECIAL[where + '.' + name]
            return self.scalar(snake(name), kind, openapi, go_text)
        facts = self.packages[where]
        if name in facts['aliases']:
            return self.alias(where, name, facts['aliases'][name])
        return self.struct(where, name, granular=markers.get('structType') == 'granular')

    def scalar(self, label, kind, openapi, go):
        c = 'schema_' + label
        if c not in self.definitions:
            self.define(c, public=True, type='SCHEMA_' + kind, name=quote(openapi), go_name=quote(go))
            if openapi:
                self.named.append(c)
        return c

    def alias(self, package, name, facts):
        c = 'schema_%s_%s' % (package, snake(name))
        if c in self.definitions:
            return c
        go = self.go_name(name, package)
        if facts['type'].startswith('[]'):
            item = self.schema(facts['type'][2:], package)
            self.define(c, public=True, type='SCHEMA_LIST', go_name=quote(go), item='&' + item, boxed='true', atomic='true')
        elif facts['type'].startswith('map['):
            item = self.schema(facts['type'].split(']', 1)[1], package)
            self.define(c, public=True, type='SCHEMA_MAP', go_name=quote(go), item='&' + item)
        else:
            values = self.array('values', facts['values']) if facts.get('enum') and facts.get('values') else None
            self.define(c, public=True, type='SCHEMA_' + SCALARS[facts['type']], go_name=quote(go), enum_values=values)
        return c

    def list_schema(self, go, package, field):
        item = self.schema(go[2:], package)
        markers = (field or {}).get('markers', [])
        kind, keys = 'atomic', []
        for m in markers:
            if m.startswith(('listType=', 'k8s:listType=')):
                kind = m.split('=')[1]
            elif m.startswith('listMapKey='):
                keys.append(m.split('=')[1])
        c = '_'.join(['list', kind] + [snake(k) for k in keys] + [item.replace('schema_', '')])
        if c not in self.definitions:
            self.define(c, type='SCHEMA_LIST', go_name=quote(self.go_name(go, package)), item='&' + item,
                        list_type='LIST_' + kind.upper(), list_map_keys=self.array('keys', keys) if keys else None,
                        atomic='true' if kind == 'atomic' else 'false')
        return c

    # -- structs ----------------------------------------------------------------------------------------------

    def flat_fields(self, package, name, inline=()):
        """The fields of a struct with those of its embedded structs in place: (package of the type, facts row, embedding numbers)."""
        for f in self.packages[package]['types'][name]['fields']:
            if f['json'] == '-':
                continue
            if f.get('inline'):
                where, inner = self.locate(f['type'], package)
                number = f.get('proto', 0)
                for at, field, numbers in self.flat_fields(where, inner, inline + ((number,) if number else ())):
                    # TypeMeta is embedded in JSON only: protobuf says apiVersion and kind in the envelope.
                    yield at, {**field, 'proto': 0} if inner == 'TypeMeta' else field, numbers
            else:
                yield package, f, inline

    def flags(self, f):
        markers = f.get('markers', [])
        flags = []
        if 'required' in markers or ('optional' not in markers and not f.get('omitempty')):
            flags.append('FIELD_REQUIRED')
        if f.get('omitempty'):
            flags.append('FIELD_OMITEMPTY')
        if f['type'].startswith('*'):
            flags.append('FIELD_POINTER')
        strategy = f.get('patchStrategy', '').split(',')
        if 'merge' in strategy:
            flags.append('FIELD_PATCH_MERGE')
        if 'retainKeys' in strategy:
            flags.append('FIELD_PATCH_REPLACE_KEYS')
        if 'replace' in strategy:
            flags.append('FIELD_PATCH_REPLACE')
        if 'mapType=atomic' in markers or 'structType=atomic' in markers:
            flags.append('FIELD_ATOMIC')
        return ' | '.join(flags) or '0'

    def default(self, f):
        for m in f.get('markers', []):
            if m.startswith('default='):
                text = m.split('=', 1)[1]
                if not f['type'].startswith('*') and text in ('""', '0', 'false'):
                    return None         # a zero that is not behind a pointer is the same as unset
                return DEFAULT_CONSTANTS.get(text, text)
        return None

    def doc(self, package, name, f):
        """The sentence of the field, of the embedded struct it comes from, of its type, or of every field of that name."""
        owners = [name] + [self.locate(e['type'], package)[1] for e in self.packages[package]['types'][name]['fields'] if e.get('inline')]
        target = self.locate(re.sub(r'^[*\[\]]+', '', f['type']), package)[1]
        for key in [o + '.' + f['json'] for o in owners] + [target, '*.' + f['json']]:
            if key in self.docs:
                return self.docs[key]
        return None

    def struct(self, package, name, granular=False):
        c = 'schema_%s_%s%s' % (package, snake(name), '_granular' if granular else '')
        if c in self.definitions:
            return c
        self.definitions[c] = None              # types may contain themselves
        facts = self.packages[package]['types'][name]
        rows, ids = [], []
        for where, f, inline in self.flat_fields(package, name):
            columns = [self.f_name(package, name, f['json']), self.flags(f), str(f.get('proto', 0)),
                       '{ %s }' % ', '.join(map(str, inline)) if inline else '{ 0 }', '&' + self.schema(f['type'], where, f),
                       quote(f.get('patchMergeKey')), quote(self.default(f)), quote(self.doc(package, name, f))]
            rows.append('    { %s },' % ', '.join(columns))
            ids.append(self.ids[f['json']])
        by_name = sorted(range(len(ids)), key=lambda i: ids[i])
        parts = []
        if rows:
            parts.append('static const struct schema_field %s_fields[] = {\n%s\n};' % (c, '\n'.join(rows)))
            parts.append('static const uint16_t %s_by_name[] = { %s };' % (c, ', '.join(map(str, by_name))))
        is_root = any(f.get('inline') and f['type'].endswith('TypeMeta') for f in facts['fields'])
        group, version = GROUP_OF.get(package, (self.packages[package]['group'], self.packages[package]['version']))
        columns = {
            'type': 'SCHEMA_OBJECT', 'name': quote(PACKAGES[package] + '.' + name), 'go_name': quote(self.go_name(name, package)),
            'fields': c + '_fields' if rows else None, 'fields_count': str(len(rows)), 'fields_by_name': c + '_by_name' if rows else None,
            'atomic': 'true' if 'structType=atomic' in facts.get('markers', []) and not granular else 'false',
            'doc': quote(self.docs.get(name)),
            'group': quote(group) if is_root else None, 'version': quote(version) if is_root else None,
            'kind': quote(name) if is_root else None}
        self.define(c, public=True, **columns)
        self.definitions[c] = '\n'.join(parts + [self.definitions[c]])
        if not granular:
            self.named.append(c)
        return c

    # -- names ------------------------------------------------------------------------------------------------

    def f_name(self, package, type_name, field):
        return self.f_names[(package, type_name, field)]

    def name_fields(self):
        """F_ identifiers. The first package of PACKAGES that has a type name keeps it short; the others get their group in front."""
        taken, self.f_names, self.f_values = {}, {}, {}
        for package in self.packages:
            for t in self.packages[package]['types']:
                prefix = ''
                if taken.setdefault(snake(t), package) != package:
                    group, version = package.split('_')
                    same = any(p != package and p.startswith(group + '_') and t in self.packages[p]['types'] for p in self.packages)
                    prefix = (package if same else group).upper() + '_'
                for _, f, _ in self.flat_fields(package, t):
                    identifier = 'F_%s%s_%s' % (prefix, snake(t).upper(), re.sub(r'\W', '', snake(f['json'])).upper())
                    if self.f_values.setdefault(identifier, f['json']) != f['json']:
                        raise SystemExit('%s names both %s and %s' % (identifier, self.f_values[identifier], f['json']))
                    self.f_names[(package, t, f['json'])] = identifier

    # -- files ------------------------------------------------------------------------------------------------

    def run(self, out):
        self.name_fields()
        self.check_docs()
        for package in self.packages:
            for t in self.packages[package]['types']:
                if package + '.' + t not in SPECIAL:
                    self.struct(package, t)
            for a in self.packages[package]['aliases']:
                self.schema(a, package)
        for n in ('meta_v1.Duration', 'meta_v1.MicroTime'):
            self.scalar(snake(n.split('.')[1]), *SPECIAL[n])
        self.write(out, 'fields.h', self.fields_h())
        self.write(out, 'schemas.h', self.schemas_h())
        self.write(out, 'schemas.c', self.schemas_c())

    def check_docs(self):
        """A sentence about a field that does not exist would never be seen."""
        known = {t for p in self.packages.values() for t in p['types']}
        known |= {t + '.' + f for _, t, f in self.f_names}
        unknown = [k for k in self.docs if k not in known and not k.startswith('*.')]
        if unknown:
            raise SystemExit('docs.json: no such type or field: ' + ', '.join(unknown))

    def fields_h(self):
        lines = ['/* Generated by kinds/generate.py from kinds/facts: the number of every field name, as described in object/name.h. */',
                 '#ifndef KINDS_FIELDS_H', '#define KINDS_FIELDS_H', '', '#include "object/name.h"', '', 'enum field_name {']
        lines += ['    %s = %d,' % (i, self.ids[n]) for i, n in sorted(self.f_values.items())]
        return lines + ['};', '', '#endif']

    def schemas_h(self):
        lines = ['/* Generated by kinds/generate.py from kinds/facts: the schema of every type (object/schema.h says what it holds). */',
                 '#ifndef KINDS_SCHEMAS_H', '#define KINDS_SCHEMAS_H', '', '#include "object/schema.h"', '',
                 '/* For name_table_set(); kinds_init() does it. */',
                 'extern const struct str schema_names[%d];' % len(self.names),
                 '/* Every schema that has an OpenAPI name, sorted by it. */',
                 'extern const struct schema *const schemas_named[%d];' % len(self.named), '']
        lines += ['extern const struct schema %s;' % c for c in sorted(self.public)]
        return lines + ['', '#endif']

    def schemas_c(self):
        lines = ['/* Generated by kinds/generate.py from kinds/facts. */', '#include "kinds/schemas.h"', '#include "kinds/fields.h"', '',
                 'const struct str schema_names[%d] = {' % len(self.names), '    STR_INIT(""),']
        lines += ['    STR_INIT(%s),' % quote(n) for n in self.names[1:]] + ['};', ''] + self.arrays + ['']
        lines += ['static const struct schema %s;' % c for c in self.definitions if c not in self.public] + ['']
        for text in self.definitions.values():
            lines += [text]
        named = sorted(self.named, key=self.openapi_name)
        lines += ['', 'const struct schema *const schemas_named[%d] = {' % len(named)] + ['    &%s,' % c for c in named] + ['};']
        return lines

    def openapi_name(self, c):
        return re.search(r'\.name = "([^"]*)"', self.definitions[c]).group(1)

    @staticmethod
    def write(out, name, lines):
        with open(os.path.join(out, name), 'w') as f:
            f.write('\n'.join(lines) + '\n')


if __name__ == '__main__':
    Generator(sys.argv[1]).run(sys.argv[2])
