import { gzipSync } from "node:zlib"
import { KERNEL, KERNEL_ARGS, NET } from "@ovms/testkit/machines.ts"
import type { Sandbox } from "./sandbox.ts"

/** Packs a machine that has only a network, as `tag`: its guest runs `script` in a shell; a kernel's words are few. */
export async function packNetGuest(box: Sandbox, tag: string, script: string): Promise<void> {
  const packed = gzipSync(script).toString("base64")
  const run = Buffer.from(`echo ${packed} | base64 -d | gunzip >/r; . /r`).toString("base64")
  const source = {
    schemaVersion: 1,
    name: "net/guest",
    kernel: { path: KERNEL, args: `${KERNEL_ARGS} ovm.run=${run}` },
    initrd: { path: NET },
    resources: { memory: 128 << 20 },
  }
  await box.ok(["pack", "-f", await box.file("machine.json", source), "-t", tag])
}
