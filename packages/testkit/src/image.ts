import { dirname } from "node:path"
import { pack } from "../../ovm/src/artifact/machine/pack.ts"
import type { PackSource } from "../../ovm/src/artifact/machine/source.ts"
import type { Digest } from "../../ovm/src/content/digest.ts"
import { openLayout } from "../../ovm/src/content/layout/store.ts"
import { checkChain } from "../../ovm/src/disk/chain.ts"
import { inspectDisk } from "../../ovm/src/disk/inspect.ts"
import { buildGuest } from "./guest.ts"

/**
 * Packs a machine around the bare-metal guest into the layout at `root`, which is made if absent, and calls it `name`.
 * `args` is the guest's command line (guest/README.md); `more` overrides any other field of the pack source.
 */
export async function packGuest(
  root: string,
  name: string,
  args: string,
  more: Partial<PackSource> = {},
): Promise<Digest> {
  const kernel = await buildGuest()
  await using store = await openLayout(root, { create: true, durable: false })
  const source: PackSource = {
    schemaVersion: 1,
    name: "test/guest",
    kernel: { path: kernel, args },
    resources: { vcpus: 1, memory: 32 << 20 },
    ...more,
  }
  const disks = { inspect: inspectDisk, checkChain }
  const descriptor = await pack(source, store, { base: dirname(kernel), disks })
  await store.tag(descriptor, name)
  return descriptor.digest
}
