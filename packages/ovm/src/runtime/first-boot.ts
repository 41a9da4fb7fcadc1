import { join } from "node:path"
import { OvmError } from "../errors.ts"
import { replaceFile } from "../files/replace.ts"
import { noCloudDisk } from "../guest/nocloud.ts"
import type { LaunchPlan } from "../vmm/plan.ts"
import { loginOf } from "./login.ts"
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
  const { config = {}, ssh } = overrides
  if (!overrides.config && !ssh) return undefined
  const { metaData, hostname, sshKeys = [] } = config
  if (metaData !== undefined && (hostname !== undefined || config.sshKeys !== undefined || ssh !== undefined))
    throw new OvmError(
      "OVM_REQUEST_INVALID",
      "overrides.config.metaData stands in place of hostname, sshKeys and overrides.ssh, and both were given [OVMS-FBC-004]",
    )
  const login = ssh && loginOf(directory, ssh)
  const told = login ? { ...config, sshKeys: [...sshKeys, login.publicKey], user: login.user } : config
  const bytes = noCloudDisk(id, told)
  const path = join(directory, FILE)
  const make = async () => {
    await login?.keep()
    await replaceFile(path, bytes, { mode: 0o600 })
  }
  return { planned: { path, size: bytes.length }, make }
}
