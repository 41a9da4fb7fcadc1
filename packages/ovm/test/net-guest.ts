import { join } from "node:path"
import type { Sandbox } from "./sandbox.ts"

/** Where `make machine` leaves the demo machine, and the initrd of one with nothing but a network. */
export const MACHINE = join(import.meta.dir, "../../../.cache/machine")

/** Packs a machine that has only a network, as `tag`: its guest runs `script` in a shell. */
export async function packNetGuest(box: Sandbox, tag: string, script: string): Promise<void> {
  const run = Buffer.from(script).toString("base64")
  const source = {
    schemaVersion: 1,
    name: "net/guest",
    kernel: {
      path: join(MACHINE, "vmlinuz"),
      args: `console=ttyS0 quiet panic=-1 no_timer_check ovm.run=${run}`,
    },
    initrd: { path: join(MACHINE, "net.img") },
    resources: { memory: 128 << 20 },
  }
  await box.ok(["pack", "-f", await box.file("machine.json", source), "-t", tag])
}
