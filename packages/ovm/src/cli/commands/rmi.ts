import type { Command } from "commander"
import { SNAPSHOT_TYPE } from "../../artifact/types.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import type { LayoutStore } from "../../content/layout/store.ts"
import { OvmError } from "../../errors.ts"
import { collectImages } from "../../images/collect.ts"
import { legacyNames } from "../../images/evidence.ts"
import { paths } from "../../paths.ts"
import { parseReference, type Reference } from "../../registry/reference.ts"
import { examples } from "../examples.ts"
import { forEach } from "../failure.ts"
import { formatSize } from "../format.ts"
import { interruptible } from "../interrupt.ts"
import { explainUnknown, storeName } from "../names.ts"
import { print, printJson } from "../output.ts"
import { digestOfName, openStore } from "../store.ts"

interface RmiOptions {
  readonly force?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Remove names of images. Content that has no name any more, and that no machine uses, is removed with them.",
    )
    .argument("<image...>", "name of an image on this host")
    .option("-f, --force", "also the base of snapshots, which then cannot be resumed any more")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm rmi debian:12", "ovm rmi registry.example.com/machines/debian:13 debian:13")
}

async function run(names: readonly string[], options: RmiOptions): Promise<void> {
  const untagged: string[] = []
  try {
    await forEach(names, async (name) => {
      untagged.push(await untag(name, options.force ?? false))
    })
  } finally {
    if (untagged.length > 0) await collect(untagged, options)
  }
}

async function untag(text: string, force: boolean): Promise<string> {
  const name = storeName(text)
  await using store = await openStore()
  try {
    const target = await store.resolve(name)
    if (!(await hasOtherName(store, name, target))) {
      await refuseIfUsed(store, name, target)
      if (!force) await refuseIfBase(store, name, target)
    }
    await store.untag(name)
    await untagEvidence(store, parseReference(name), target)
    return name
  } catch (thrown) {
    throw explainUnknown(thrown, text)
  }
}

/** Signatures in their legacy form have names of their own, which go with the last name that their subject has beside them. */
async function untagEvidence(store: LayoutStore, { name }: Reference, target: Descriptor): Promise<void> {
  for await (const other of store.list())
    if (other.target.digest === target.digest && other.reference.startsWith(`${name}:`)) return
  for (const legacy of legacyNames(name, target.digest))
    if (await digestOfName(store, legacy)) await store.untag(legacy)
}

async function hasOtherName(store: LayoutStore, name: string, target: Descriptor): Promise<boolean> {
  for await (const other of store.list())
    if (other.reference !== name && other.target.digest === target.digest) return true
  return false
}

/** Snapshots are worth nothing without their base. */
async function refuseIfBase(store: LayoutStore, name: string, target: Descriptor): Promise<void> {
  const named = new Set((await Array.fromAsync(store.list())).map((entry) => entry.target.digest))
  const all = await Array.fromAsync(store.referrers(target, { artifactType: SNAPSHOT_TYPE }))
  const snapshots = all.filter(({ digest }) => named.has(digest))
  if (snapshots.length === 0) return
  throw new OvmError("OVM_IMAGE_IN_USE", `${name} is the base of ${snapshots.length} snapshots`, {
    detail: { snapshots: snapshots.map(({ digest }) => digest) },
    hint: `ovm rmi the snapshots first, or ovm rmi --force ${name}`,
  })
}

/** An image that a machine uses keeps its last name, by which it can be seen and started again. */
async function refuseIfUsed(store: LayoutStore, name: string, target: Descriptor): Promise<void> {
  const users = (await store.leases()).filter(({ digests }) => digests.includes(target.digest))
  if (users.length === 0) return
  const ids = users.map(({ id }) => id.replace(/^instance-/, ""))
  throw new OvmError("OVM_IMAGE_IN_USE", `${name} is used by instance ${ids.join(", ")}`, {
    detail: { instances: ids },
    hint: `ovm stop ${ids[0]}; ovm rm ${ids[0]}`,
  })
}

async function collect(untagged: readonly string[], options: RmiOptions): Promise<void> {
  const { store, cache } = paths()
  const { bytes, removed } = await interruptible((signal) => collectImages(store, cache, { signal }))
  if (options.json) printJson({ untagged, removed, freed: bytes })
  else print(`${untagged.map((name) => `untagged ${name}\n`).join("")}freed ${formatSize(bytes)}\n`)
}
