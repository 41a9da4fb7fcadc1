import { isPath } from "../../registry/reference.ts"
import type { Instance } from "../instance.ts"
import type { SandboxEnd, SandboxRequest, StartRequest } from "../interfaces.ts"

/** The start of the machine of a sandbox: nobody needs what its guest writes, and it is connected to nothing. */
export function sandboxStart({
  manifest,
  memory,
  platform,
  network = { mode: "none" },
}: SandboxRequest): StartRequest {
  const overrides = { agent: true, ephemeral: true, autoRemove: true, network }
  return {
    manifest,
    overrides: { ...overrides, ...(memory !== undefined && { memory }), ...(platform && { platform }) },
  }
}

/** What the machine was made of. A slot has been spawned before its start. */
export function originOf({ info: { snapshot, timings_ms } }: Instance): SandboxEnd["started_from"] {
  if (snapshot === undefined) return "image"
  return timings_ms.spawn === undefined ? "slot" : "snapshot"
}

/** Whether its name is a snapshot's, of which slots can be made. */
export function goesOnFromName({ info: { snapshot, image } }: Instance): boolean {
  return snapshot !== undefined && snapshot === image.digest && !isPath(image.reference)
}
