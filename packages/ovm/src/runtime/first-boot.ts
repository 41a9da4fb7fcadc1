import { join } from "node:path"
import { OvmError } from "../errors.ts"
import { replaceFile } from "../files/replace.ts"
import { noCloudDisk } from "../guest/nocloud.ts"
import type { LaunchPlan } from "../vmm/plan.ts"
import type { LaunchRequest } from "./plan.ts"

/** In the instance's directory, for its user alone. */
const FILE = "first-boot.iso"

/** A disk that is to be made before its machine boots. */
export interface FirstBootDisk {
  readonly planned: NonNullable<LaunchPlan["firstBoot"]>
  make(): Promise<void>
}

/** What the guest is to be told, if anything (spec/first-boot.md). Throws OVM_REQUEST_INVALID. */
export function firstBootDisk({ id, directory, overrides }: LaunchRequest): FirstBootDisk | undefined {
  const { config } = overrides
  if (!config) return undefined
  if (config.metaData !== undefined && (config.hostname !== undefined || config.sshKeys !== undefined))
    throw new OvmError(
      "OVM_REQUEST_INVALID",
      "overrides.config.metaData stands in place of hostname and sshKeys, and both were given [OVMS-FBC-004]",
    )
  const bytes = noCloudDisk(id, config)
  const path = join(directory, FILE)
  return { planned: { path, size: bytes.length }, make: () => replaceFile(path, bytes, { mode: 0o600 }) }
}
