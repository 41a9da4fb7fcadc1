import { join } from "node:path"
import { OvmError } from "../errors.ts"
import { replaceFile } from "../files/replace.ts"
import { noCloudDisk } from "../guest/nocloud.ts"
import type { LaunchPlan } from "../vmm/plan.ts"
import { ignitionFile } from "./ignition.ts"
import { loginOf } from "./login.ts"
import type { LaunchRequest } from "./plan.ts"

/** In the instance's directory, for its user alone. */
const FILE = "first-boot.iso"

/** What is to be made before its machine boots, and what the machine is to have of it. */
export interface FirstBootFile {
  readonly planned: Pick<LaunchPlan, "firstBoot" | "ignition">
  make(): Promise<void>
}

/**
 * What the guest is to be told, if anything (spec/first-boot.md). `agent`: it is to get its agent by that. Throws
 * OVM_REQUEST_INVALID.
 */
export function firstBootFile(request: LaunchRequest, agent: boolean): FirstBootFile | undefined {
  const { config, ssh, agent: asked } = request.overrides
  if (config?.ignition !== undefined) return ignitionFile(request, config.ignition)
  // An image that asks for an agent by itself, and brings it, is given no disk that it does not know.
  return config || ssh || (agent && asked) ? noCloud(request, agent) : undefined
}

function noCloud({ id, directory, overrides }: LaunchRequest, agent: boolean): FirstBootFile {
  const { config = {}, ssh } = overrides
  const { metaData, hostname, sshKeys = [] } = config
  if (metaData !== undefined && (hostname !== undefined || config.sshKeys !== undefined || ssh !== undefined))
    throw new OvmError(
      "OVM_REQUEST_INVALID",
      "overrides.config.metaData stands in place of hostname, sshKeys and overrides.ssh, and both were given [OVMS-FBC-004]",
    )
  const login = ssh && loginOf(directory, ssh)
  const keyed = login ? { ...config, sshKeys: [...sshKeys, login.publicKey], user: login.user } : config
  const told = { ...keyed, agent }
  const bytes = noCloudDisk(id, told)
  const path = join(directory, FILE)
  const make = async () => {
    await login?.keep()
    await replaceFile(path, bytes, { mode: 0o600 })
  }
  return { planned: { firstBoot: { path, size: bytes.length } }, make }
}
