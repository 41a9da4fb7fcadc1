import type { Command } from "commander"
import { SNAPSHOT_TYPE } from "../../../artifact/types.ts"
import type { Descriptor } from "../../../content/descriptor.ts"
import type { LayoutStore } from "../../../content/layout/store.ts"
import { OvmError } from "../../../errors.ts"
import { paths } from "../../../host/paths.ts"
import { collectImages } from "../../../images/collect.ts"
import { legacyNames } from "../../../images/evidence.ts"
import { parseReference } from "../../../registry/reference.ts"
import { onlyNameFor } from "../../digits.ts"
import { forEach } from "../../failure.ts"
import { formatSize } from "../../format.ts"
import { refuseIfUsed } from "../../image-users.ts"
import { interruptible } from "../../interrupt.ts"
import { explainUnknown, storeName } from "../../names.ts"
import { print, printJson } from "../../output.ts"
import { digestOfName, openStore } from "../../store.ts"
import { examples } from "../../terminal/examples.ts"

interface RmiOptions {
  readonly force?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Remove names of images, snapshots among them. Content that has no name any more, and that no machine " +
        "uses, is removed with them.",
    )
    .argument("<image...>", "name of an image on this host")
    .option("-f, --force", "also the base of snapshots, and these with it")
    .option("--json", "print JSON")
    .action(run)
  examples(
    command,
    "ovm rmi debian:12",
    "ovm rmi debian:warm 3f2a90bc11d8",
    "ovm rmi registry.example.com/machines/debian:13 debian:13",
  )
}

async function run(names: readonly string[], options: RmiOptions): Promise<void> {
  const untagged: string[] = []
  try {
    const remove = async (text: string) => {
      const name = await onlyNameFor(text)
      // Of a base that goes the snapshots went before it.
      if (!untagged.includes(storeName(name))) untagged.push(...(await untag(name, options.force ?? false)))
    }
    await forEach(names, remove, options)
  } finally {
    if (untagged.length > 0) await collect(untagged, options)
  }
}

/** The names that were removed. */
async function untag(text: string, force: boolean): Promise<string[]> {
  const name = storeName(text)
  await using store = await openStore()
  try {
    const target = await store.resolve(name)
    const last = !(await hasOtherName(store, name, target))
    const going = last
      ? [...(await snapshotsOf(store, target)), { reference: name, target }]
      : [{ reference: name, target }]
    if (last) for (const one of going) await refuseIfUsed(store, one.reference, one.target)
    if (going.length > 1 && !force) throw isBase(name, going.slice(0, -1))
    for (const one of going) {
      await store.untag(one.reference)
      await untagEvidence(store, one.reference, one.target)
    }
    return going.map(({ reference }) => reference)
  } catch (thrown) {
    throw explainUnknown(thrown, text)
  }
}

interface Named {
  readonly reference: string
  readonly target: Descriptor
}

/** The names of snapshots of `base`, which are worth nothing without it. */
async function snapshotsOf(store: LayoutStore, base: Descriptor): Promise<Named[]> {
  const all = await Array.fromAsync(store.referrers(base, { artifactType: SNAPSHOT_TYPE }))
  const digests = new Set(all.map(({ digest }) => digest))
  return (await Array.fromAsync(store.list())).filter(({ target }) => digests.has(target.digest))
}

function isBase(name: string, snapshots: readonly Named[]): OvmError {
  const digests = new Set(snapshots.map(({ target }) => target.digest))
  const names = snapshots.map(({ reference }) => reference)
  return new OvmError(
    "OVM_IMAGE_IN_USE",
    `${name} is the base of ${digests.size} snapshots: ${names.join(", ")}`,
    {
      detail: { snapshots: [...digests] },
      hint: `ovm rmi --force ${name} removes them too`,
    },
  )
}

/**
 * Signatures in their legacy form have names of their own, which go with the last name that their subject has beside
 * them.
 */
async function untagEvidence(store: LayoutStore, reference: string, target: Descriptor): Promise<void> {
  const { name } = parseReference(reference)
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

async function collect(untagged: readonly string[], options: RmiOptions): Promise<void> {
  const { freed, removed } = await interruptible((signal) => collectImages(paths(), { signal }))
  if (options.json) printJson({ untagged, removed, freed })
  else print(`${untagged.map((name) => `untagged ${name}\n`).join("")}freed ${formatSize(freed)}\n`)
}
