import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import type { Written } from "../images/commit.ts"
import { assertOnto } from "../images/commit-onto.ts"
import type { Images } from "../images/images.ts"
import type { OpenImage } from "../images/open.ts"
import { parseReference } from "../registry/reference.ts"
import { startable } from "./again.ts"
import { conflict } from "./conflict.ts"
import { variablesWritten } from "./disks.ts"
import type { Log } from "./ending.ts"
import type { Instance } from "./instance.ts"
import { givenUp } from "./instant.ts"
import type { CommitAnswer, CommitRequest } from "./interfaces.ts"
import type { Lineage } from "./record.ts"
import { hasEnded } from "./states.ts"
import { whileStill } from "./still.ts"
import { writtenSince } from "./written-disks.ts"

/** commitInstance of a machine that stands still, or that is to be frozen for it. Throws what whileStill does, too. */
export async function commitAsAsked(
  instance: Instance,
  images: Images,
  { freeze = false, ...request }: CommitRequest,
  { log, ...call }: Call & { readonly log: Log },
): Promise<CommitAnswer> {
  const work = () => commitInstance(instance, images, request, call)
  return await (freeze && instance.state === "running" ? whileStill(instance, work, log, call) : work())
}

/**
 * Makes an image of a machine that stands still: its own, or `onto`, with what its guest wrote since as one more layer
 * (OVMS-API-190, OVMS-BLD-002). Throws OVM_STATE_CONFLICT for one that runs, or does not stand still until the end,
 * OVM_UNSUPPORTED where nothing could be written, OVM_BASE_MISMATCH, what a start refuses, and what the store throws:
 * then there is no new name.
 */
async function commitInstance(
  instance: Instance,
  images: Images,
  { name, onto }: Omit<CommitRequest, "freeze">,
  call: Call,
): Promise<CommitAnswer> {
  const reference = taggedName(name)
  const { state, info } = instance
  const lineage = standing(instance)
  const over = Promise.withResolvers<void>()
  instance.snapshotting = over.promise
  const signal = call.signal
    ? AbortSignal.any([call.signal, instance.removed.signal])
    : instance.removed.signal
  try {
    const asked = instance.request?.manifest ?? info.image.reference
    const held = { lease: instance.id, signal }
    await using started = closing(await images.openAgain(asked, lineage, held))
    const written = await writtenTo(instance, lineage, started.opened, { signal })
    await using below = onto === undefined ? undefined : closing(await images.openNamed(onto, held))
    if (below) await assertOnto(started.opened, below.opened, written)
    const { opened } = below ?? started
    const made = await images.writeCommit(opened, { written, lease: instance.id }, { signal })
    try {
      if (instance.state !== state) throw conflict(instance, "did not stand still while it was committed")
      await images.nameCommit(made.descriptor, reference, { signal })
    } finally {
      await images.dropCommit(made.descriptor, instance.id).catch(() => {})
    }
    return { reference, digest: made.descriptor.digest, size: made.size }
  } catch (thrown) {
    throw instance.state === state ? thrown : givenUp(instance, thrown, "it was committed")
  } finally {
    instance.snapshotting = undefined
    over.resolve()
  }
}

/** Throws OVM_REQUEST_INVALID for a name that is some digest's already (OVMS-API-191). */
function taggedName(name: string): string {
  const reference = parseReference(name)
  if (reference.digest === undefined) return reference.toString()
  throw new OvmError(
    "OVM_REQUEST_INVALID",
    `name: ${name.slice(0, 200)} has a digest, and what is made has its own`,
  )
}

function closing(opened: OpenImage) {
  return { opened, [Symbol.asyncDispose]: () => opened.close() }
}

/** What was written since the image. Throws OVM_UNSUPPORTED where nothing could be. */
async function writtenTo(
  { id, directory }: Instance,
  lineage: Lineage,
  opened: OpenImage,
  call: Call,
): Promise<Written> {
  const { overlays, top } = lineage
  const since = await opened.overlays(top === undefined ? overlays : [...overlays, top], call)
  const disks = await writtenSince(directory, lineage, opened, call)
  const variables = variablesWritten(directory)
  if (since.length > 0 || disks.size > 0 || variables !== undefined)
    return { first: since.map(({ path }) => path), disks, ...(variables !== undefined && { variables }) }
  throw new OvmError("OVM_UNSUPPORTED", `instance ${id} has no disk that it could write to`, {
    detail: [{ pointer: "/instance_id", reason: "nothing was written" }],
  })
}

function standing(instance: Instance): Lineage {
  const { state, lineage, snapshotting } = instance
  if (!hasEnded(state) && state !== "paused") throw conflict(instance, `is ${state}`)
  if (hasEnded(state)) startable(instance)
  else instance.assertUsable()
  if (snapshotting) throw conflict(instance, "is being snapshotted or committed")
  if (!lineage) throw conflict(instance, "has no image on record")
  return lineage
}
