"""Starts a machine, shows the first words of its console, and removes it: python console.py IMAGE"""

import sys

from ovms import Client

runtime = Client()
instance_id = runtime.start({"manifest": sys.argv[1]})["instance_id"]
try:
    for chunk in runtime.logs(instance_id, follow=True):
        sys.stdout.buffer.write(chunk)
        if b"\n" in chunk:
            break
finally:
    runtime.remove(instance_id, force=True)
