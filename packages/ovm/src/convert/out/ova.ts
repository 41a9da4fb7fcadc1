import { tarMember } from "../../content/archive/member.ts"
import { padding, TAR_END } from "../../content/archive/tar.ts"
import { digestOf, hexOf } from "../../content/digest.ts"
import type { Bytes, Call } from "../../content/interfaces.ts"
import { sizeOfDisk } from "../../disk/size.ts"
import { OvmError } from "../../errors.ts"
import { flattenTo } from "../flat.ts"
import type { Workplace } from "../workplace.ts"
import { type OvfDiskOut, ovfOf } from "./envelope.ts"
import { blobOf, type MachineOut } from "./machine.ts"

/** A file of a package. */
interface Member {
  readonly name: string
  readonly size: number
  readonly hex: string
  readonly open: () => Bytes
}

/**
 * The machine as an OVA: a tar archive with its descriptor, checksums, and a stream-optimized VMDK of each disk that is
 * not empty. Throws as flattenTo does, before the first byte.
 */
export async function ovaOf(machine: MachineOut, place: Workplace, call: Call): Promise<Bytes> {
  if (machine.architecture !== "amd64")
    throw new OvmError(
      "OVM_UNSUPPORTED",
      `${machine.name} is for ${machine.architecture}, which no OVA can say`,
      {
        detail: [{ pointer: "/architecture", reason: machine.architecture }],
      },
    )
  const disks: OvfDiskOut[] = []
  const members: Member[] = []
  for (const [at, disk] of machine.disks.entries()) {
    if ("size" in disk) {
      disks.push({ bytes: disk.size })
      continue
    }
    const path = place.file()
    await flattenTo(disk.layers, { path, format: "vmdk" }, call)
    const { descriptor, open } = await blobOf(path, "", call)
    const member = { name: `${machine.name}-disk${at}.vmdk`, size: descriptor.size }
    const top = disk.layers.at(-1)
    disks.push({ bytes: top ? await sizeOfDisk(top) : 0, file: member })
    members.push({ ...member, hex: hexOf(descriptor.digest), open })
  }
  const ovf = inMemory(`${machine.name}.ovf`, ovfOf(machine, disks))
  const sums = [ovf, ...members].map(({ name, hex }) => `SHA256(${name})= ${hex}\n`).join("")
  return tarOf([ovf, inMemory(`${machine.name}.mf`, sums), ...members])
}

async function* tarOf(members: readonly Member[]): Bytes {
  for (const { name, size, open } of members) {
    yield tarMember(name, size, {})
    yield* open()
    yield new Uint8Array(padding(size))
  }
  yield TAR_END
}

function inMemory(name: string, text: string): Member {
  const bytes = Buffer.from(text)
  const open = async function* () {
    yield bytes
  }
  return { name, size: bytes.length, hex: hexOf(digestOf(bytes)), open }
}
