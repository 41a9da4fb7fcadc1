import { type Artifact, readArtifact } from "../../artifact/machine/read.ts"
import type { Context } from "../../build/context.ts"
import { copiedDigest, neededBases, neededStages } from "../../build/needed.ts"
import { type Base, baseOf, isStage, type PlannedStage } from "../../build/planned.ts"
import type { Digest } from "../../content/digest.ts"
import type { Call } from "../../content/interfaces.ts"
import type { LayoutReader } from "../../content/layout/reader.ts"
import type { BuildRun, ProvenStep } from "../../supply/build-provenance.ts"
import { isUnknown } from "../names.ts"
import { openStoreToRead } from "../store.ts"

type Proof = Pick<BuildRun, "copied" | "bases" | "boot" | "steps">

interface Proving {
  readonly context: Context
  /** What was built. */
  readonly digest: Digest
  /** Of what was kept of a step or base, by its key. */
  readonly nameOf: (key: string) => string
}

/** What a build was made of, and what each of its steps wrote (spec/provenance.md). */
export async function proofOf(
  stage: PlannedStage,
  { context, digest, nameOf }: Proving,
  call: Call,
): Promise<Proof> {
  await using store = await openStoreToRead()
  const stages = neededStages(stage)
  const steps: ProvenStep[] = []
  for (const one of stages) steps.push(...(await stepsOf(one, store, nameOf)))
  const made = await readArtifact(store, await store.resolve(digest), call)
  const bases = neededBases(stages).flatMap(({ reference, digest, container }) => {
    const found = container ? container.digest : (digest as Digest)
    return found === undefined ? [] : [{ name: container?.name ?? reference, digest: found }]
  })
  const boot = baseOf(stage).container ? bootOf(made) : []
  return { copied: copiedDigest(stages, context.root), bases, boot, steps }
}

function bootOf({ kernel, initrd }: Artifact): Proof["boot"] {
  return [
    ...(kernel ? [{ part: "kernel" as const, digest: kernel.digest }] : []),
    ...(initrd ? [{ part: "initrd" as const, digest: initrd.digest }] : []),
  ]
}

async function stepsOf(
  { name, from, steps }: PlannedStage,
  store: LayoutReader,
  nameOf: (key: string) => string,
): Promise<readonly ProvenStep[]> {
  let below = await layersOf(store, nameIn(from, nameOf))
  const proven: ProvenStep[] = []
  for (const { line, text, key } of steps) {
    const layers = await layersOf(store, nameOf(key))
    const layer = layers && below && layers.length > below.length ? layers.at(-1) : undefined
    proven.push({ stage: name, line, step: text, ...(layer && { layer }) })
    below = layers
  }
  return proven
}

function nameIn(from: PlannedStage | Base, nameOf: (key: string) => string): string {
  if (isStage(from)) return from.steps.length > 0 ? nameOf(from.key) : nameIn(from.from, nameOf)
  return from.container ? nameOf(from.digest) : from.reference
}

/** Undefined where it was freed meanwhile. */
async function layersOf(store: LayoutReader, name: string): Promise<readonly Digest[] | undefined> {
  try {
    return (await readArtifact(store, await store.resolve(name))).layers.map(
      ({ descriptor }) => descriptor.digest,
    )
  } catch (thrown) {
    if (isUnknown(thrown)) return undefined
    throw thrown
  }
}
