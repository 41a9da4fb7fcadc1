import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawn, spawnSync } from "node:child_process"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { Daemon, IMAGE, LINUX, linuxMissing } from "../../../packages/client/test/daemon.ts"

setDefaultTimeout(240_000)

const FOLDER = join(import.meta.dir, "..")
const oldPython =
  spawnSync("python3", ["-c", "import sys; sys.exit(sys.version_info < (3, 10))"]).status === 0
    ? ""
    : "(skipped: there is no Python from 3.10 on)"
const skip = guestMissing || oldPython
if (linuxMissing) console.log(`SKIP clients/python/tests/test_inside.py: ${linuxMissing}`)
if (skip) console.log(`SKIP clients/python/tests/python.test.ts: ${skip}`)

/** Runs a program to its end; its errors are what unittest reports on. */
async function run(args: readonly string[], env: Record<string, string | undefined>) {
  const child = spawn("python3", args, { cwd: FOLDER, env })
  let said = ""
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      said += text
    })
  const status = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve))
  return { status, said }
}

describe.skipIf(Boolean(skip))(`the client for Python ${skip}`, () => {
  test("does what it says, with a real daemon", async () => {
    await using daemon = await Daemon.create()
    if (!linuxMissing) daemon.packLinux()
    const env = {
      PATH: process.env.PATH,
      HOME: daemon.folder,
      PYTHONPATH: join(FOLDER, "src"),
      PYTHONDONTWRITEBYTECODE: "1",
      SOCKET: daemon.socket,
      DEEP_SOCKET: daemon.deepSocket,
      IMAGE,
      ...(!linuxMissing && { LINUX }),
    }
    const { status, said } = await run(
      ["-W", "error", "-m", "unittest", "discover", "-v", "-s", "tests"],
      env,
    )
    expect({ status, said }).toEqual({
      status: 0,
      said: expect.stringMatching(/Ran \d\d? tests in .*\n\nOK( \(skipped=1\))?\n$/),
    })
  })
})
