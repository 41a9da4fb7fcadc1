import { gunzipSync } from "node:zlib"
import guest from "@ovms/spec/vectors/guest.json" with { type: "json" }
import { digestOf } from "../registry/content.ts"
import { type Artifact, artifactOf, type Changes } from "./make.ts"

/** Bytes of RAM of the suite's guest. */
export const GUEST_MEMORY = 32 << 20

export function guestKernel(): Buffer {
  return gunzipSync(Buffer.from(guest.gzip, "base64"))
}

/** A program for UEFI (spec/vectors/README.md). */
export function efiProgram(): Buffer {
  return gunzipSync(Buffer.from(guest.efi, "base64"))
}

/**
 * A machine with the suite's guest (spec/vectors/README.md), and `more` behind its kernel; without a disk unless that
 * is changed.
 */
export function guestArtifact(more: Uint8Array = new Uint8Array(), changes: Changes = {}): Artifact {
  const kernel = Buffer.concat([guestKernel(), more])
  return artifactOf({
    kernel,
    document: {
      name: "conformance",
      kernel: { ref: digestOf(kernel), args: "console=ttyS0 tick_ms=100" },
      resources: { memory: GUEST_MEMORY, vcpus: 1 },
      ...changes.document,
    },
    diskless: changes.diskless ?? true,
    ...(changes.disk && { disk: changes.disk }),
    ...(changes.format !== undefined && { format: changes.format }),
    ...(changes.layer && { layer: changes.layer }),
  })
}
