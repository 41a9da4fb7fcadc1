"""The words of the wrapper of spec/conformance.md."""
import errno
import json
import os
import sys

from .basics import SPEC, Refused
from .machine import read_machine
from .validate import Invalid, NotDone, validate

UNAVAILABLE = 69
ARGUMENTS = {"validate": (2, 65), "pack": (2, 2), "push": (2, 2), "pull": (2, 2), "inspect": (1, 1)}


def exit_of(code):
    with open(os.path.join(SPEC, "errors.json"), encoding="utf-8") as file:
        codes = json.load(file)["codes"]
    return codes[code]["exit"]


def report(**members):
    print(json.dumps(members))


def do(verb, args):
    if verb == "validate":
        faults = []
        found = validate(args[0], args[1:], faults)
        if faults:
            raise Invalid(faults)
        if found is not None:
            report(found=found)
    elif verb == "pack":
        from .pack import file_of, pack
        faults = []
        source = read_machine(file_of(".", args[0]), "pack-source", faults)
        if faults:
            raise Invalid(faults)
        pack(source, os.path.dirname(args[0]), args[1])
    elif verb in ("push", "pull") and os.path.exists(os.path.join(os.environ.get("DOCKER_CONFIG") or "/dev/null", "config.json")):
        raise NotDone("credentials")
    elif verb in ("push", "pull", "inspect"):
        from . import transfer                      # brings urllib, which takes its time to load
        getattr(transfer, verb)(*args)
    else:
        raise NotDone(verb)


def wrong_use(verb, args):
    least, most = ARGUMENTS[verb]
    return not least <= len(args) <= most


def code_of(error):
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "OVM_NO_SPACE"
    return "OVM_PERMISSION_DENIED" if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else "OVM_FILE_UNREADABLE"


def main(verb="", *args):
    if verb in ARGUMENTS and wrong_use(verb, args):
        print(f"OVM_USAGE: {verb} takes other arguments", file=sys.stderr)
        return exit_of("OVM_USAGE")
    try:
        do(verb, args)
        return 0
    except Invalid as e:
        report(faults=[{"document": f.document, "pointer": f.pointer, "requirement": f.requirement} for f in e.faults])
        print(f"{e.faults[0].code}: {e.faults[0]}", file=sys.stderr)
        return exit_of(e.faults[0].code)
    except Refused as e:
        print(e, file=sys.stderr)
        return exit_of(e.code)
    except OSError as e:
        print(f"{code_of(e)}: {e}", file=sys.stderr)
        return exit_of(code_of(e))
    except (NotDone, NotImplementedError) as e:
        print(f"not done: {e}", file=sys.stderr)
        return UNAVAILABLE
