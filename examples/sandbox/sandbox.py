"""Runs code of a stranger in a machine of its own: SOCKET is the daemon's, SNAPSHOT a snapshot with an agent."""

import base64
import os
from concurrent.futures import ThreadPoolExecutor

from ovms import Client

SNAPSHOT = os.environ.get("SNAPSHOT", "demo:ready")
runtime = Client(os.environ.get("SOCKET", "/run/ovm/ovm.sock"))


def run(script: str, seconds: int = 10):
    """What `script` prints, and what it leaves at /work/result."""
    answer = runtime.sandbox(
        {
            "manifest": SNAPSHOT,
            "command": ["sh", "/work/script"],
            "files": [{"path": "/work/script", "content": base64.b64encode(script.encode()).decode()}],
            "outputs": ["/work/result"],
            "timeout_ms": seconds * 1000,
        }
    )
    result = "".join(base64.b64decode(one["content"]).decode() for one in answer["files"])
    return answer, result


# Several at once: each has a machine of its own, and sees nothing of the others.
words = ["to be", "or not", "to be"]
with ThreadPoolExecutor() as pool:
    for answer, result in pool.map(lambda line: run(f"echo {line} | tee /work/result | wc -w"), words):
        print(f"{answer['stdout'].strip()} words in: {result.strip()}")

# What hangs is ended.
hung, _ = run("echo begun; sleep 600", 4)
timed_out = str(hung.get("timed_out", False)).lower()
print(f"timed out: {timed_out}, exit code {hung['exit_code']}, after it said: {hung['stdout'].strip()}")
