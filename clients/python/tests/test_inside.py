"""In a Linux with an agent: LINUX is its image; python.test.ts leaves it out where there is none."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import tarfile
import unittest
from pathlib import Path
from typing import AsyncIterator, Dict, Iterator

from ovms import AsyncClient, Client, OvmError

SOCKET, DEEP_SOCKET, LINUX = (os.environ.get(name, "") for name in ("SOCKET", "DEEP_SOCKET", "LINUX"))
EXAMPLES = Path(__file__).parent.parent / "examples"


def archive(files: Dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return held.getvalue()


def content(tar_bytes: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(tar_bytes)) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


def pieces(data: bytes, size: int = 50_000) -> Iterator[bytes]:
    yield b""
    for at in range(0, len(data), size):
        yield data[at : at + size]


@unittest.skipIf(LINUX == "", "there is no Linux with an agent (make machine)")
class Inside(unittest.TestCase):
    runtime = Client(SOCKET)
    instance_id = ""

    @classmethod
    def setUpClass(cls) -> None:
        overrides = {"network": {"mode": "none"}}
        cls.instance_id = cls.runtime.start({"manifest": LINUX, "overrides": overrides})["instance_id"]  # type: ignore
        cls.runtime.ready(cls.instance_id, timeout_ms=200_000)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.runtime.remove(cls.instance_id, force=True)

    def test_a_command_and_its_end(self) -> None:
        command = ["sh", "-c", "cat; echo err >&2; exit 3"]
        answer = self.runtime.exec(self.instance_id, {"command": command, "input": "given"})
        self.assertEqual((answer["exit_code"], answer["stdout"], answer["stderr"]), (3, "given", "err\n"))
        late = self.runtime.exec(self.instance_id, {"command": ["sleep", "600"], "timeout_ms": 300})
        self.assertTrue(late["timed_out"])

    def test_a_command_as_it_goes(self) -> None:
        request = {"command": ["sh", "-c", "while read -r l; do echo \"<$l>\"; done; exit 4"], "interactive": True}
        with self.runtime.exec_stream(self.instance_id, request) as command:  # type: ignore
            said = iter(command)
            command.write(b"one\n")
            self.assertEqual(next(said), ("stdout", b"<one>\n"))
            command.write(b"two\n")
            self.assertEqual(next(said), ("stdout", b"<two>\n"))
            command.end_input()
            self.assertEqual(command.wait()["exit_code"], 4)
        # Much input, and a signal.
        data = os.urandom(300_000)
        request = {"command": ["wc", "-c"], "interactive": True}
        with self.runtime.exec_stream(self.instance_id, request) as command:  # type: ignore
            command.write(data)
            command.end_input()
            self.assertEqual(b"".join(piece.data for piece in command).strip(), b"300000")
        with self.runtime.exec_stream(self.instance_id, {"command": ["sleep", "600"]}) as command:
            command.signal(15)
            end = command.wait()
            self.assertEqual((end["exit_code"], end["signal"]), (143, 15))

    def test_a_terminal(self) -> None:
        size = {"rows": 11, "columns": 22}
        request = {"command": ["sh", "-c", "stty size; read x; stty size"], "terminal": size}
        with self.runtime.exec_stream(self.instance_id, request) as command:  # type: ignore
            seen = b""
            for _, data in command:
                seen += data
                if seen == b"11 22\r\n":
                    command.resize(33, 44)
                    command.write(b"\n")
            self.assertIn(b"33 44", seen)

    def test_files_go_in_and_out(self) -> None:
        data = os.urandom(3_000_001)
        whole = archive({"folder/data": data, "folder/empty": b""})
        self.runtime.exec(self.instance_id, {"command": ["mkdir", "-p", "/in"]})
        self.runtime.write_files(self.instance_id, "/in", pieces(whole))
        back = b"".join(self.runtime.read_files(self.instance_id, "/in/folder"))
        self.assertEqual(content(back, "folder/data"), data)
        self.runtime.write_files(self.instance_id, "/in/renamed", [archive({"x": b"short"})], rename=True)
        self.assertEqual(content(b"".join(self.runtime.read_files(self.instance_id, "/in/renamed")), "renamed"), b"short")

    def test_what_cannot_be_copied(self) -> None:
        with self.assertRaises(OvmError) as caught:
            list(self.runtime.read_files(self.instance_id, "/nowhere"))
        self.assertEqual(caught.exception.code, "OVM_FILE_UNREADABLE")
        with self.assertRaises(OvmError) as caught:
            self.runtime.write_files(self.instance_id, "/nowhere/at/all", pieces(archive({"x": os.urandom(2_000_000)})))
        self.assertEqual(caught.exception.code, "OVM_FILE_UNREADABLE")
        with self.assertRaises(OvmError):
            self.runtime.write_files(self.instance_id, "/", [archive({"../x": b"climbs"})])

        def broken() -> Iterator[bytes]:
            yield archive({"x": os.urandom(100_000)})[:60_000]
            raise FileNotFoundError

        with self.assertRaises(FileNotFoundError):
            self.runtime.write_files(self.instance_id, "/", broken())
        # Nothing of a copy that breaks off is there, and the machine goes on.
        self.assertEqual(self.runtime.exec(self.instance_id, {"command": ["ls", "/x"]})["exit_code"], 1)

    def test_all_of_it_by_asyncio(self) -> None:
        asyncio.run(self._by_asyncio())

    async def _by_asyncio(self) -> None:
        runtime = AsyncClient(DEEP_SOCKET)
        data = os.urandom(700_001)

        async def come(whole: bytes) -> AsyncIterator[bytes]:
            for piece in pieces(whole):
                yield piece

        await runtime.write_files(self.instance_id, "/", come(archive({"async": data})))
        back = b"".join([chunk async for chunk in runtime.read_files(self.instance_id, "/async")])
        self.assertEqual(content(back, "async"), data)
        with self.assertRaises(OvmError) as caught:
            await runtime.write_files(self.instance_id, "/nowhere/at/all", come(archive({"x": data})))
        self.assertEqual(caught.exception.code, "OVM_FILE_UNREADABLE")

        async def broken() -> AsyncIterator[bytes]:
            yield archive({"x": data})[:60_000]
            raise FileNotFoundError

        with self.assertRaises(FileNotFoundError):
            await runtime.write_files(self.instance_id, "/", broken())
        request = {"command": ["cat"], "interactive": True}
        async with await runtime.exec_stream(self.instance_id, request) as command:  # type: ignore
            await command.write(b"hello")
            await command.end_input()
            self.assertEqual([piece async for piece in command], [("stdout", b"hello")])
            self.assertEqual((await command.wait())["exit_code"], 0)
        ends = await asyncio.gather(
            *(runtime.exec(self.instance_id, {"command": ["sh", "-c", f"exit {code}"]}) for code in range(8))
        )
        self.assertEqual([end["exit_code"] for end in ends], list(range(8)))

    def test_the_example(self) -> None:
        environment = {**os.environ, "OVM_HOME": os.path.dirname(DEEP_SOCKET)}
        words = [sys.executable, str(EXAMPLES / "inside.py"), LINUX]
        said = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
        self.assertEqual(said, "+ wc -w\nexit code 0\nwords: 6\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
