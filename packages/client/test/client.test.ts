import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawn } from "node:child_process"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { cases } from "./cases.js"
import { Daemon, IMAGE, LINUX, linuxMissing } from "./daemon.ts"

setDefaultTimeout(240_000)

if (linuxMissing) console.log(`SKIP packages/client/test/client.test.ts, in a Linux: ${linuxMissing}`)
if (guestMissing) console.log(`SKIP packages/client/test/client.test.ts: ${guestMissing}`)

/** Under Node the client is what `make build` makes of it, under Bun its source. */
describe.skipIf(Boolean(guestMissing)).each(["node", process.execPath])("under %s", (program) => {
  const known = Object.keys(cases).filter((name) => !(linuxMissing && name.startsWith("in a Linux")))
  test.each(known)("%s", async (name) => {
    await using daemon = await Daemon.create()
    if (name.startsWith("in a Linux")) daemon.packLinux()
    const { socket: SOCKET, deepSocket: DEEP_SOCKET, folder: FOLDER } = daemon
    const env = { PATH: process.env.PATH, SOCKET, DEEP_SOCKET, FOLDER, IMAGE, LINUX }
    const child = spawn(program, [join(import.meta.dir, "run.js"), name], { env })
    const output = { stdout: "", stderr: "" }
    for (const stream of ["stdout", "stderr"] as const)
      child[stream].setEncoding("utf8").on("data", (text: string) => {
        output[stream] += text
      })
    const status = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve))
    expect({ status, ...output }).toEqual({ status: 0, stdout: "ok\n", stderr: "" })
  })
})
