import { expect, setDefaultTimeout, test } from "bun:test"
import { once } from "node:events"
import { chmod, copyFile, readFile } from "node:fs/promises"
import { type AddressInfo, createServer } from "node:net"
import { dirname, join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { findPeer } from "@ovms/testkit/registry.ts"
import { PROGRAM, Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

const PAGE = join(import.meta.dir, "../../../docs/signing-with-cosign.md")
const peers = ["cosign", "oras"].map(findPeer)
const skip = peers.includes(undefined) ? "cosign and oras are not both there (make peers)" : guestMissing
if (skip) console.log(`SKIP packages/ovm/test/signing-page.test.ts: ${skip}`)

test.skipIf(Boolean(skip))(
  "every command of docs/signing-with-cosign.md does what the page says",
  async () => {
    await using box = await Sandbox.create()
    await copyFile(await buildGuest(), box.path("kernel"))
    // A program, not a function of the shell: a job of it is the registry itself, which can be ended.
    const ovm = `#!/bin/sh\nexec ${PROGRAM.map((word) => `'${word}'`).join(" ")} "$@"\n`
    await chmod(await box.file("ovm", ovm), 0o755)
    const page = await readFile(PAGE, "utf8")
    const commands = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, body]) => body).join("")
    const path = [box.directory, ...peers.map((peer) => dirname(peer ?? ""))].join(":")
    // The page's port may be somebody's.
    const taken = createServer().listen(0, "127.0.0.1")
    await once(taken, "listening")
    const { port } = taken.address() as AddressInfo
    await new Promise((resolve) => taken.close(resolve))
    // `!` would hide a failure from -e, which is what it is there for.
    const { status, stdout, stderr } = await box.shell(
      `set -eu; unset -f ovm; trap 'kill %1 2>/dev/null || :' EXIT; PATH=${path}:$PATH; ${commands.replaceAll("5599", `${port}`)}`,
    )
    expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" })
    expect(stdout).toContain("allowed")
    expect(stderr).toContain("OVM_POLICY_REFUSED")
    expect(stdout).toMatch(/sha256-[0-9a-f]{64}\.sig/)
  },
)
