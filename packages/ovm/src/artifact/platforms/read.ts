import type { Descriptor } from "../../content/descriptor.ts"
import type { Call, Fetcher } from "../../content/interfaces.ts"
import { OCI_INDEX } from "../../content/manifest.ts"
import { fetchAll } from "../../content/read.ts"
import { OvmError } from "../../errors.ts"
import { faultsError } from "../faults.ts"
import { DOCUMENT_BYTES } from "../json.ts"
import { readArtifact } from "../machine/read.ts"
import { isSnapshot, readSnapshot } from "../snapshot/read.ts"
import { type OciIndex, validateIndex } from "./index-document.ts"
import { type IndexMachine, machineFor, platformMissing } from "./machines.ts"
import { hostPlatform, type Platform, platformOf } from "./platform.ts"

export function isIndex({ mediaType }: Pick<Descriptor, "mediaType">): boolean {
  return mediaType === OCI_INDEX
}

/**
 * Reads an index of machines. Throws OVM_ARTIFACT_INVALID or OVM_TOO_LARGE with all faults as `detail`, and what
 * `source` throws.
 */
export async function readMachineIndex(
  source: Fetcher,
  descriptor: Descriptor,
  call: Call = {},
): Promise<OciIndex> {
  const { index, faults } = validateIndex(await fetchAll(source, descriptor, DOCUMENT_BYTES, call))
  if (index) return index
  throw faultsError(`the index ${descriptor.digest}`, faults)
}

/** What a name stands for, as one machine or snapshot. */
export interface FoundMachine {
  readonly target: Descriptor
  /** That it was found through. */
  readonly index?: Descriptor
}

/** What is looked into, and for which platform: this host's unless told, or whatever a manifest is for. */
export interface Sought extends Call {
  readonly platform?: Platform | undefined
}

/**
 * The one machine that `root` means: of an index that for the platform (OVMS-IDX-018). Its documents are read and
 * judged. Throws OVM_PLATFORM_MISSING, OVM_ARTIFACT_INVALID, what readMachineIndex and readArtifact throw.
 */
export async function machineBehind(
  source: Fetcher,
  root: Descriptor,
  { platform, ...call }: Sought = {},
): Promise<FoundMachine> {
  if (isIndex(root)) {
    const machine = machineFor(
      await readMachineIndex(source, root, call),
      platform ?? hostPlatform(),
      `the index ${root.digest}`,
    )
    await checkMachine(source, machine, call)
    return { target: machine.descriptor, index: root }
  }
  if (platform !== undefined) {
    const snapshot = (await isSnapshot(source, root, call))
      ? await readSnapshot(source, root, call)
      : undefined
    const is = platformOf((await readArtifact(source, snapshot?.base ?? root, call)).manifest)
    if (is !== platform) throw platformMissing(root.digest, platform, [is])
  }
  return { target: root }
}

/** Holds what an index says of a machine against the machine itself (OVMS-IDX-020). Throws as readArtifact does. */
export async function checkMachine(
  source: Fetcher,
  { platform, descriptor }: IndexMachine,
  call: Call,
): Promise<void> {
  const is = platformOf((await readArtifact(source, descriptor, call)).manifest)
  if (is === platform) return
  const message = `the index says that ${descriptor.digest} is for ${platform}, but it is for ${is} [OVMS-IDX-020]`
  throw new OvmError("OVM_ARTIFACT_INVALID", message, {
    detail: { digest: descriptor.digest, requirement: "OVMS-IDX-020" },
  })
}
