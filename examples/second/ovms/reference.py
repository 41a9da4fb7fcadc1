"""References (spec/references.md)."""
import ipaddress, re
from .basics import Refused

ALNUM = r"[a-z0-9]+"
COMPONENT = rf"{ALNUM}(?:(?:\.|__|_|-+){ALNUM})*"
NAME = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
HOST = re.compile(rf"({NAME}(?:\.{NAME})*|\[[0-9A-Fa-f:.]+\])(?::([1-9][0-9]{{0,4}}))?")

def host_of(text):
    m = HOST.fullmatch(text)
    if not m or (m.group(2) and int(m.group(2)) > 65535):
        raise Refused("OVM_REFERENCE_INVALID", "OVMS-REF-002", f"{text!r} is no host")
    if m.group(1).startswith("["):
        import ipaddress
        try:
            ipaddress.IPv6Address(m.group(1)[1:-1])
        except ValueError:
            raise Refused("OVM_REFERENCE_INVALID", "OVMS-REF-002", f"{text!r} is no IPv6 address")
    return text.lower()

def split_reference(text):
    bad = lambda r, why: Refused("OVM_REFERENCE_INVALID", r, f"{text!r}: {why}")
    if len(text) > 512:
        raise bad("OVMS-REF-007", "longer than 512 characters")
    if re.fullmatch("sha256:[0-9a-f]{64}", text):
        raise bad("OVMS-REF-002", "a digest alone is no reference")
    rest, digest = text, None
    if "@" in rest:
        rest, digest = rest.split("@", 1)
        if not re.fullmatch("sha256:[0-9a-f]{64}", digest):
            raise bad("OVMS-REF-002", "no digest")
    host = None
    first, slash, after = rest.partition("/")
    if slash and ("." in first or ":" in first or first.lower() == "localhost"):
        host, rest = host_of(first), after
    tag = None
    if ":" in rest:
        rest, tag = rest.split(":", 1)
        if not re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", tag):
            raise bad("OVMS-REF-002", "no tag")
    if not re.fullmatch(rf"{COMPONENT}(?:/{COMPONENT})*", rest):
        raise bad("OVMS-REF-002", "no repository")
    if len((host + "/" if host else "") + rest) > 255:
        raise bad("OVMS-REF-007", "host and repository are longer than 255 characters")
    return host, rest, tag, digest

def read_reference(text):
    if text.startswith(("/", "./", "../")):
        return {"path": text}
    host, repository, tag, digest = split_reference(text)
    if tag is None and digest is None:
        tag = "latest"
    return {k: v for k, v in (("host", host), ("repository", repository), ("tag", tag), ("digest", digest)) if v}
