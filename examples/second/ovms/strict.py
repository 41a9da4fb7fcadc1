"""Strict JSON (spec/security.md, spec/limits.md)."""
import re
from .basics import KIND_CODE, MIB, Fault

class Syntax(Exception):
    def __init__(self, requirement, pointer, message):
        super().__init__(message)
        self.requirement, self.pointer, self.message = requirement, pointer, message

def esc(name):
    return str(name).replace("~", "~0").replace("/", "~1")

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}

class Parser:
    """RFC 8259 and no more: UTF-8 without BOM, no lone surrogates, no repeated names, 64 levels."""
    def __init__(self, data, depth=64):
        if data[:3] == b"\xef\xbb\xbf":
            raise Syntax("OVMS-SEC-010", "", "byte order mark")
        try:
            self.t = data.decode("utf-8")          # Python's decoder refuses encoded surrogates and overlong forms
        except UnicodeDecodeError as e:
            raise Syntax("OVMS-SEC-010", "", f"not UTF-8: {e}")
        self.i, self.max, self.at = 0, depth, ""           # `at`: the value that is being read

    def fail(self, what):
        raise Syntax("OVMS-SEC-011", self.at, f"{what} at character {self.i}")

    def ws(self):
        while self.i < len(self.t) and self.t[self.i] in " \t\n\r":
            self.i += 1

    def document(self):
        value = self.value("", 1)
        self.at = ""
        self.ws()
        if self.i != len(self.t):
            self.fail("something after the value")
        return value

    def value(self, p, level):
        self.at = p
        self.ws()
        c = self.t[self.i:self.i + 1]
        if c in ("{", "["):
            if level > self.max:
                raise Syntax("OVMS-LIM-002", p, f"deeper than {self.max} levels")
            return self.object(p, level) if c == "{" else self.array(p, level)
        if c == '"':
            return self.string(p)
        for word, v in (("true", True), ("false", False), ("null", None)):
            if self.t.startswith(word, self.i):
                self.i += len(word)
                return v
        m = NUMBER.match(self.t, self.i)
        self.i = m.end() if m else self.fail("no value")
        x = float(m.group(0))
        if abs(x) == float("inf"):
            raise Syntax("OVMS-SEC-011", p, "number too large for a double")
        if m.group(2) or m.group(3):
            return int(x) if x.is_integer() else x
        return int(m.group(0)) if len(m.group(0)) < 400 else int(x)

    def object(self, p, level):
        out = {}

        def member():
            self.ws()
            if self.t[self.i:self.i + 1] != '"':
                self.fail("no member name")
            name = self.string(p)
            q = f"{p}/{esc(name)}"
            if name in out:
                raise Syntax("OVMS-SEC-012", q, f"member {name!r} twice")
            self.ws()
            if self.t[self.i:self.i + 1] != ":":
                self.fail("no colon")
            self.i += 1
            out[name] = self.value(q, level + 1)
        self.items("}", member)
        return out

    def array(self, p, level):
        out = []
        self.items("]", lambda: out.append(self.value(f"{p}/{len(out)}", level + 1)))
        return out

    def items(self, end, one):
        self.i += 1
        self.ws()
        if self.t[self.i:self.i + 1] == end:
            self.i += 1
            return
        while True:
            one()
            self.ws()
            c = self.t[self.i:self.i + 1]
            if c not in (end, ",") or not c:
                self.fail("no comma")
            self.i += 1
            if c == end:
                return

    def string(self, p):
        self.i += 1
        out = []
        while True:
            j = self.i
            while j < len(self.t) and self.t[j] not in '"\\' and self.t[j] >= " ":
                j += 1
            out.append(self.t[self.i:j])
            self.i = j
            c = self.t[j:j + 1]
            if c == '"':
                self.i += 1
                text = "".join(out)
                text = re.sub("[\ud800-\udbff][\udc00-\udfff]",
                              lambda m: m.group(0).encode("utf-16", "surrogatepass").decode("utf-16"), text)
                if re.search("[\ud800-\udfff]", text):
                    raise Syntax("OVMS-SEC-010", p, "unpaired surrogate")
                return text
            if c != "\\":
                self.fail("text not closed, or control character in it")
            e = self.t[j + 1:j + 2]
            if e == "u":
                h = self.t[j + 2:j + 6]
                if not re.fullmatch("[0-9A-Fa-f]{4}", h):
                    self.fail("bad \\u")
                out.append(chr(int(h, 16)))
                self.i = j + 6
            elif e in ESCAPES and e:
                out.append(ESCAPES[e])
                self.i = j + 2
            else:
                self.fail("bad escape")

def parse(data, document, faults):
    """Bytes to value, or None with a fault."""
    if document == "request" and len(data) > 65536:
        faults.append(Fault(document, "", "OVMS-LIM-010", "OVM_REQUEST_TOO_LARGE"))
    elif document == "policy" and len(data) > MIB:
        faults.append(Fault(document, "", "OVMS-POL-004", "OVM_POLICY_INVALID"))
    elif len(data) > 4 * MIB:
        faults.append(Fault(document, "", "OVMS-LIM-001", "OVM_TOO_LARGE"))
    else:
        try:
            return True, Parser(data).document()
        except Syntax as e:
            faults.append(Fault(document, e.pointer, e.requirement, KIND_CODE[document], e.message))
    return False, None
