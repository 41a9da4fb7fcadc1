"""Runs a script inside a machine and brings its result out: python inside.py IMAGE"""

import io
import sys
import tarfile

from ovms import Client

SCRIPT = b"wc -w <words >count\n"


def archive(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return held.getvalue()


runtime = Client()
request = {"manifest": sys.argv[1], "overrides": {"agent": True, "network": {"mode": "none"}}}
instance_id = runtime.start(request)["instance_id"]
try:
    runtime.ready(instance_id, timeout_ms=300_000)
    runtime.exec(instance_id, {"command": ["mkdir", "-p", "/work"]})
    runtime.write_files(instance_id, "/work", [archive({"script": SCRIPT, "words": b"to be or not to be"})])
    with runtime.exec_stream(instance_id, {"command": ["sh", "-ex", "script"], "directory": "/work"}) as command:
        # Piece by piece, as it is written; `channel` is stdout or stderr.
        for channel, data in command:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    print(f"exit code {command.wait()['exit_code']}")
    result = io.BytesIO(b"".join(runtime.read_files(instance_id, "/work/count")))
    with tarfile.open(fileobj=result) as tar:
        print(f"words: {tar.extractfile('count').read().decode().strip()}")
finally:
    runtime.remove(instance_id, force=True)
