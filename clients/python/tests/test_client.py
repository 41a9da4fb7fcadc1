"""Against a real daemon: SOCKET is its socket, DEEP_SOCKET the same by a path that is too long for an address, IMAGE a
guest that ticks until it is stopped (python.test.ts)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import unittest
from pathlib import Path
from typing import Iterable

from ovms import AsyncClient, Client, OvmError

SOCKET, DEEP_SOCKET, IMAGE = (os.environ[name] for name in ("SOCKET", "DEEP_SOCKET", "IMAGE"))
EXAMPLES = Path(__file__).parent.parent / "examples"


def read(chunks: Iterable[bytes], words: bytes) -> bytes:
    seen = b""
    for chunk in chunks:
        seen += chunk
        if words in seen:
            return seen
    raise AssertionError(f"the console ended: {seen!r}")


class Threads(unittest.TestCase):
    def setUp(self) -> None:
        self.runtime = Client(SOCKET)

    def started(self) -> str:
        instance_id = self.runtime.start({"manifest": IMAGE})["instance_id"]
        self.addCleanup(self.gone, instance_id)
        while self.runtime.status(instance_id)["state"] == "starting":
            time.sleep(0.05)
        return instance_id

    def gone(self, instance_id: str) -> None:
        try:
            self.runtime.remove(instance_id, force=True)
        except OvmError as error:
            self.assertEqual(error.code, "OVM_INSTANCE_UNKNOWN")

    def test_a_machines_whole_life(self) -> None:
        runtime = self.runtime
        self.assertEqual(runtime.health()["status"], "ok")
        overrides = {"name": "py", "labels": {"tier": "web"}, "vcpus": 2}
        instance_id = runtime.start({"manifest": IMAGE, "overrides": overrides})["instance_id"]  # type: ignore
        self.addCleanup(self.gone, instance_id)
        self.assertIn(b"GUEST-READY", read(runtime.logs(instance_id, follow=True), b"TICK 2"))
        self.assertEqual(runtime.pause(instance_id), {"status": "paused"})
        info = runtime.status(instance_id)
        self.assertEqual((info["name"], info["labels"], info["resources"]["vcpus"]), ("py", {"tier": "web"}, 2))
        self.assertEqual(runtime.resume(instance_id)["status"], "running")
        self.assertIn(instance_id, [one["instance_id"] for one in runtime.instances()])
        self.assertTrue(all(line["time"].endswith("Z") for line in runtime.log_lines(instance_id, tail=2)))
        self.assertEqual(runtime.stop({"instance_id": instance_id, "grace_ms": 0})["status"], "stopping")
        for _ in runtime.logs(instance_id, follow=True):
            pass
        runtime.remove(instance_id)
        types = [one["type"] for one in runtime.events() if one.get("instance_id") == instance_id]
        self.assertEqual((types[0], types[-1]), ("starting", "removed"))
        self.assertIn("ovm_", runtime.metrics())

    def test_volumes(self) -> None:
        self.assertEqual(self.runtime.create_volume({"name": "py", "size": 1 << 20})["size"], 1 << 20)
        self.assertEqual([one["name"] for one in self.runtime.volumes()], ["py"])
        self.runtime.remove_volume("py")
        self.assertEqual(self.runtime.volumes(), [])

    def test_the_keyboard(self) -> None:
        instance_id = self.started()
        with self.runtime.attach(instance_id) as console:
            read(console, b"TICK 1")
            console.write(b"hello from python\n")
            read(console, b"hello from python")
            with self.assertRaises(OvmError) as caught:
                self.runtime.attach(instance_id)
            self.assertEqual((caught.exception.code, caught.exception.status), ("OVM_STATE_CONFLICT", 409))

    def test_errors(self) -> None:
        with self.assertRaises(OvmError) as caught:
            self.runtime.status("../x?y")
        self.assertEqual(caught.exception.code, "OVM_INSTANCE_UNKNOWN")
        with self.assertRaises(OvmError) as caught:
            self.runtime.start({"manifest": IMAGE, "overrides": {"memory": 3}})
        self.assertEqual((caught.exception.code, caught.exception.status), ("OVM_REQUEST_INVALID", 400))
        self.assertEqual(caught.exception.detail[0]["pointer"], "/overrides/memory")
        with self.assertRaises(OvmError) as caught:
            self.runtime.exec(self.started(), {"command": ["true"]})
        self.assertEqual(caught.exception.code, "OVM_UNSUPPORTED")
        with self.assertRaises(OvmError) as caught:
            Client("/nowhere/ovm.sock").health()
        self.assertEqual((caught.exception.code, caught.exception.status), ("OVM_DAEMON_UNREACHABLE", None))

    def test_a_path_that_is_too_long(self) -> None:
        self.assertGreater(len(DEEP_SOCKET), 107)
        self.assertEqual(Client(DEEP_SOCKET).health()["status"], "ok")


class Asyncio(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.runtime = AsyncClient(DEEP_SOCKET)

    async def test_the_same_without_threads(self) -> None:
        runtime = self.runtime
        ids = [one["instance_id"] for one in await asyncio.gather(*(runtime.start({"manifest": IMAGE}) for _ in range(2)))]
        try:
            for instance_id in ids:
                seen = b""
                async for chunk in runtime.logs(instance_id, follow=True):
                    seen += chunk
                    if b"TICK 1" in seen:
                        break
            self.assertEqual({one["instance_id"] for one in await runtime.instances()}, set(ids))
            async with await runtime.attach(ids[0]) as console:
                await console.write(b"hello from asyncio\n")
                seen = b""
                async for chunk in console:
                    seen += chunk
                    if b"hello from asyncio" in seen:
                        break
            # One that is cancelled lets go of its connection.
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(self._drain(ids[1]), 0.3)
            lines = [line["text"] async for line in runtime.log_lines(ids[0], tail=3)]
            # It goes on meanwhile.
            self.assertGreaterEqual(len(lines), 3)
        finally:
            await asyncio.gather(*(runtime.remove(one, force=True) for one in ids))
        types = [one["type"] async for one in runtime.events() if one.get("instance_id") == ids[0]]
        self.assertEqual((types[0], types[-1]), ("starting", "removed"))
        self.assertIn("ovm_", await runtime.metrics())

    async def _drain(self, instance_id: str) -> None:
        async for _ in self.runtime.logs(instance_id, follow=True):
            pass

    async def test_errors(self) -> None:
        with self.assertRaises(OvmError) as caught:
            await self.runtime.status("nothing")
        self.assertEqual((caught.exception.code, caught.exception.status), ("OVM_INSTANCE_UNKNOWN", 404))
        with self.assertRaises(OvmError) as caught:
            await AsyncClient("/nowhere/ovm.sock").health()
        self.assertEqual(caught.exception.code, "OVM_DAEMON_UNREACHABLE")


class Examples(unittest.TestCase):
    def run_one(self, *words: str) -> str:
        environment = {**os.environ, "OVM_HOME": os.path.dirname(DEEP_SOCKET)}
        return subprocess.run(
            [sys.executable, *words], env=environment, capture_output=True, text=True, check=True
        ).stdout

    def test_console(self) -> None:
        self.assertIn("GUEST-READY", self.run_one(str(EXAMPLES / "console.py"), IMAGE))

    def test_many(self) -> None:
        self.assertEqual(self.run_one(str(EXAMPLES / "many.py"), IMAGE, "2"), "2 machines run\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
