"""Starts a machine, shows the first words of its console, and removes it: python console.py IMAGE"""

import sys

from ovms import Client

runtime = Client()
instance_id = runtime.start({"manifest": sys.argv[1]})["instance_id"]
try:
    seen = b""
    for chunk in runtime.logs(instance_id, follow=True):
        # It comes byte by byte, if it likes.
        seen += chunk
        if b"\n" in seen.lstrip():
            break
    sys.stdout.buffer.write(seen)
finally:
    runtime.remove(instance_id, force=True)
