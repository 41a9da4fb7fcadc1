"""The schemas of spec/schema, as far as they use JSON Schema, with the requirement of each part."""
import json, os, re
from .basics import KIND_CODE, MIB, SPEC, Fault
from .strict import esc

def is_type(v, t):
    if isinstance(t, list):
        return any(is_type(v, x) for x in t)
    return {"object": isinstance(v, dict), "array": isinstance(v, list), "string": isinstance(v, str),
            "boolean": isinstance(v, bool), "null": v is None,
            "number": isinstance(v, (int, float)) and not isinstance(v, bool),
            "integer": isinstance(v, int) and not isinstance(v, bool)}[t]

def same(a, b):
    return type(a) is type(b) and a == b if isinstance(a, bool) or isinstance(b, bool) else a == b

PATTERNS = {}

def matches(pattern, text):
    if pattern not in PATTERNS:
        py = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: "\\u" + m.group(1), pattern)
        PATTERNS[pattern] = re.compile(re.sub(r"(?<!\\)\$(?=$|[)|])", r"\\Z", py))
    return PATTERNS[pattern].search(text) is not None

class Schema:
    def __init__(self, root, document):
        self.root, self.document = root, document
        self.unknown = root.get("x-requirement-additionalProperties")

    def ref(self, path):
        node = self.root
        for part in path.lstrip("#/").split("/"):
            node = node[part]
        return node

    def check(self, value, faults, schema=None):
        found = []
        self.walk(schema if schema is not None else self.root, value, "", None, found)
        for pointer, requirement in dict.fromkeys(found):
            faults.append(Fault(self.document, pointer, requirement, KIND_CODE[self.document]))

    def requirement(self, s):
        """x-requirement of a subschema, through $ref."""
        while s is not None:
            if "x-requirement" in s:
                return s["x-requirement"]
            s = self.ref(s["$ref"]) if "$ref" in s else None
        return None

    def walk(self, s, v, p, inherited, out):
        own = s.get("x-requirement", inherited)

        def bad(keyword, at=p, default=None):
            out.append((at, s.get("x-requirement-" + keyword) or default or own))

        if "$ref" in s:
            self.walk(self.ref(s["$ref"]), v, p, s.get("x-requirement"), out)
        if "type" in s and not is_type(v, s["type"]):
            return bad("type")
        if "const" in s and not same(s["const"], v):
            bad("const")
        if "enum" in s and not any(same(x, v) for x in s["enum"]):
            bad("enum")
        if "not" in s:
            bad("not")
        if isinstance(v, str):
            if len(v) < s.get("minLength", 0) or len(v) > s.get("maxLength", 1 << 60):
                bad("length")
            if "pattern" in s and not matches(s["pattern"], v):
                bad("pattern")
        elif isinstance(v, (int, float)) and not isinstance(v, bool):
            if v < s.get("minimum", v) or v > s.get("maximum", v) or ("multipleOf" in s and v % s["multipleOf"]):
                bad("range")
        elif isinstance(v, list):
            self.array(s, v, p, bad, out)
        elif isinstance(v, dict):
            self.object(s, v, p, own, bad, out)
        if "anyOf" in s and not any(self.holds(x, v) for x in s["anyOf"]):
            bad("anyOf")
        if "oneOf" in s and sum(self.holds(x, v) for x in s["oneOf"]) != 1:
            bad("oneOf")
        for x in s.get("allOf", []):
            self.walk(x, v, p, own, out)
        if "if" in s:
            branch = s.get("then" if self.holds(s["if"], v) else "else")
            if branch is not None:
                extra = {k: x for k, x in s.items() if k.startswith("x-requirement-")}
                self.walk({**extra, "properties": s.get("properties", {}), **branch}, v, p, own, out)

    def holds(self, s, v):
        found = []
        self.walk(s, v, "", "?", found)
        return not found

    def array(self, s, v, p, bad, out):
        if len(v) < s.get("minItems", 0) or len(v) > s.get("maxItems", 1 << 60):
            bad("items")
        if s.get("uniqueItems") and any(same(a, b) for i, a in enumerate(v) for b in v[:i]):
            bad("uniqueItems")
        prefix = s.get("prefixItems", [])
        for i, x in enumerate(v):
            sub = prefix[i] if i < len(prefix) else s.get("items")
            if sub is not None:
                self.walk(sub, x, f"{p}/{i}", None, out)

    def object(self, s, v, p, own, bad, out):
        properties = s.get("properties", {})
        if len(v) > s.get("maxProperties", 1 << 60):
            bad("maxProperties")
        for name in s.get("required", []):
            if name not in v:       # of a missing member: its own requirement, where the schema names no other
                bad("required", f"{p}/{esc(name)}", self.requirement(properties.get(name)))
        for name, needs in s.get("dependentRequired", {}).items():
            for need in needs:
                if name in v and need not in v:
                    bad("dependentRequired", f"{p}/{esc(name)}")
        names, rest = s.get("propertyNames"), s.get("additionalProperties")
        for name, x in v.items():
            q = f"{p}/{esc(name)}"
            if names is not None:
                found = []
                self.walk(names, name, q, own, found)
                out.extend(found)
            if name in properties:
                self.walk(properties[name], x, q, None, out)
            elif rest is False:
                bad("additionalProperties", q, self.unknown)
            elif isinstance(rest, dict):
                self.walk(rest, x, q, own, out)

def load(name):
    with open(os.path.join(SPEC, "schema", name), encoding="utf-8") as f:
        return json.load(f)

SCHEMAS = {}

def schema_of(document):
    if document not in SCHEMAS:
        SCHEMAS[document] = Schema(load(f"{document}.v1.json"), document)
    return SCHEMAS[document]
