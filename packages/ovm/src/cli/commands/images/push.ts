import type { Command } from "commander"
import { isIndex, machineBehind } from "../../../artifact/platforms/read.ts"
import { isSnapshot, readSnapshot } from "../../../artifact/snapshot/read.ts"
import { copy, copyGraph } from "../../../content/copy.ts"
import type { Descriptor } from "../../../content/descriptor.ts"
import { OvmError } from "../../../errors.ts"
import { subjectsOf } from "../../../images/along.ts"
import { parseReference, type Reference } from "../../../registry/reference.ts"
import { onlyNameFor } from "../../digits.ts"
import { interruptible } from "../../interrupt.ts"
import { explainUnknown } from "../../names.ts"
import { print, printJson } from "../../output.ts"
import { type PlatformOption, platformOption } from "../../platform-option.ts"
import { openRemote } from "../../registry.ts"
import { siblingOf } from "../../sibling.ts"
import { openStoreToRead } from "../../store.ts"
import { examples } from "../../terminal/examples.ts"
import { openProgress } from "../../terminal/progress.ts"

interface PushOptions extends PlatformOption {
  readonly plainHttp?: boolean
  readonly includeReferrers?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Copy an image from this host to the registry in its name. What the registry has already is not sent.",
    )
    .argument("<image>", "name of an image on this host, with the registry's host")
    .option("--include-referrers", "also what refers to the image: signatures, SBOMs, snapshots")
    .option("--plain-http", "speak HTTP without TLS to the registry")
  platformOption(command, "the whole index").option("--json", "print JSON").action(run)
  examples(
    command,
    "ovm tag debian registry.example.com/machines/debian:13",
    "ovm push registry.example.com/machines/debian:13",
    "ovm push --platform linux/arm64 registry.example.com/machines/debian:13",
  )
}

async function run(text: string, options: PushOptions): Promise<void> {
  const image = await onlyNameFor(text)
  const reference = parseReference(image)
  if (reference.host === undefined)
    throw new OvmError("OVM_REFERENCE_INVALID", `${reference} names no registry to push to`, {
      hint: `ovm tag ${image} HOST/${reference}; ovm push HOST/${reference}`,
    })
  const { digest } = await interruptible((signal) => send(reference, options, signal))
  if (options.json) printJson({ reference: reference.toString(), digest })
  else print(`${digest}  ${reference}\n`)
}

async function send(reference: Reference, options: PushOptions, signal: AbortSignal): Promise<Descriptor> {
  const name = reference.toString()
  await using store = await openStoreToRead()
  const { platform } = options
  const found = await store.resolve(name, { signal }).catch((thrown: unknown) => {
    throw explainUnknown(thrown, name)
  })
  const { target } = platform ? await machineBehind(store, found, { platform, signal }) : { target: found }
  const registry = await openRemote(reference, options)
  const sibling = await siblingOf(store, target, reference, { signal })
  using progress = await openProgress()
  const copying = {
    signal,
    onProgress: progress.onProgress,
    ...(sibling !== undefined && { mountFrom: sibling }),
    ...(registry.maxConcurrency && { concurrency: registry.maxConcurrency }),
  }
  // Referrers are listed by repository, so a snapshot's base goes where the snapshot goes, and before it
  // (OVMS-SNP-005).
  if (await isSnapshot(store, target, { signal }))
    await copyGraph(store, (await readSnapshot(store, target, { signal })).base, registry, copying)
  // By its digest: a name that moves meanwhile is not followed.
  const includeReferrers = options.includeReferrers ?? false
  const named = { ...copying, includeReferrers, name: reference.tag }
  const root = await copy(store, target.digest, registry, named).catch((thrown: unknown) => {
    throw explainPart(thrown, target, name)
  })
  if (includeReferrers) {
    const { carryLegacy } = await import("../../../signing/legacy/carry.ts")
    const prefix = `${reference.name}:`
    for (const subject of await subjectsOf(store, target, { signal }))
      await carryLegacy({ store, prefix }, { store: registry, prefix: "" }, subject, { signal })
  }
  return root
}

/** Of an index that was pulled some machines may not be here (OVMS-IDX-023). */
function explainPart(thrown: unknown, target: Descriptor, name: string): unknown {
  if (!isIndex(target) || !(thrown instanceof OvmError) || thrown.code !== "OVM_CONTENT_MISSING")
    return thrown
  return new OvmError(
    thrown.code,
    `${name} is an index of which not all machines are here: ${thrown.message}`,
    {
      cause: thrown,
      hint: `ovm pull --all-platforms ${name}; or copy it from its registry: ovm copy`,
    },
  )
}
