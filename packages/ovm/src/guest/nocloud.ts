import { agentProgram, agentService, agentUnit } from "./agent/program.ts"
import { type IsoFile, isoImage } from "./iso.ts"
import { vendorData } from "./vendor-data.ts"

/** What a guest is told at its first boot (spec/first-boot.md). */
export interface FirstBoot {
  readonly hostname?: string
  /** Lines as in authorized_keys. */
  readonly sshKeys?: readonly string[]
  /** Documents as cloud-init takes them, in place of what is made here. */
  readonly userData?: string
  readonly metaData?: string
  readonly networkConfig?: string
  /** What the guest's cloud-init calls the user that it makes unless told otherwise, and who gets the keys. */
  readonly user?: string
  /** The disk brings the agent, and has the guest install it. */
  readonly agent?: boolean
}

/** By which guests know the disk. */
const LABEL = "cidata"
const NOTHING = "#cloud-config\n{}\n"

/**
 * The disk that tells a guest of `config`, as the data source NoCloud of cloud-init and its like reads it. `id` is the
 * instance's: a guest that has seen it does not do again what is done once (OVMS-FBC-002).
 */
export function noCloudDisk(id: string, config: FirstBoot): Uint8Array {
  const { userData = NOTHING, metaData = metaDataOf(id, config), networkConfig, user, agent = false } = config
  const vendor = vendorData(user, agent)
  return isoImage(LABEL, [
    file("meta-data", metaData),
    file("user-data", userData),
    // What the user data says of the same goes before it.
    ...(vendor === undefined ? [] : [file("vendor-data", vendor)]),
    ...(agent
      ? [
          { name: "ovm-agent", content: agentProgram() },
          { name: "ovm-agent.openrc", content: agentService() },
          { name: "ovm-agent.service", content: agentUnit() },
        ]
      : []),
    ...(networkConfig === undefined ? [] : [file("network-config", networkConfig)]),
  ])
}

/** JSON is YAML, and quotes whatever it is given. */
function metaDataOf(id: string, { hostname, sshKeys }: FirstBoot): string {
  const data = {
    "instance-id": id,
    ...(hostname !== undefined && { "local-hostname": hostname }),
    ...(sshKeys && sshKeys.length > 0 && { "public-keys": sshKeys }),
  }
  return `${JSON.stringify(data)}\n`
}

function file(name: string, text: string): IsoFile {
  return { name, content: new TextEncoder().encode(text) }
}
