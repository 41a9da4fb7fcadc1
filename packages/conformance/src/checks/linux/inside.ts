import { randomUUID } from "node:crypto"
import type { Plan } from "../runtime/plan.ts"
import { endsInOrder, rootOfItsDisk } from "./ends.ts"
import { hasAnAddress, PORT, reachesNothing, speaksForItself } from "./network.ts"
import { bothSeeTheSame, folders, mountedAsTold, nothingLeadsOut, staysAsItIs } from "./shares.ts"
import { type Linux, output, withLinux } from "./stage.ts"

/** What is said by the client of a console comes to the program that has the guest's first serial port. */
async function sizeOfTheConsole({ runtime, ...linux }: Linux): Promise<void> {
  const attachment = `attachment=${randomUUID()}`
  const stop = new AbortController()
  let attached = false
  const onData = () => {
    attached = true
    return false
  }
  runtime
    .with(stop.signal)
    .raw("GET", `/instances/${linux.id}/attach`, { query: attachment, onData })
    .catch(() => {})
  try {
    await runtime.until("the console is attached to", async () => attached)
    const query = `${attachment}&window=50x132`
    await runtime.raw("POST", `/instances/${linux.id}/input`, { query, body: Buffer.alloc(0) })
    await runtime.until(
      "the guest's console has the size that was said",
      async () => (await output({ runtime, ...linux }, "stty size </dev/ttyS0")) === "50 132",
    )
  } finally {
    stop.abort()
  }
}

export const linuxInsidePlans: readonly Plan[] = [
  {
    name: "linux/inside",
    profile: "agent",
    slow: true,
    covers: [
      "OVMS-GST-040",
      "OVMS-MAN-105",
      "OVMS-MAN-108",
      "OVMS-MAN-110",
      "OVMS-MAN-111",
      "OVMS-SHR-010",
      "OVMS-SHR-011",
      "OVMS-SHR-012",
      "OVMS-SHR-035",
      "OVMS-SHR-036",
      "OVMS-AGT-070",
      "OVMS-AGT-090",
      "OVMS-AGT-091",
      "OVMS-AGT-092",
      "OVMS-AGT-095",
      "OVMS-AGT-110",
      "OVMS-AGT-130",
      "OVMS-AGT-132",
    ],
    async run(scene) {
      const given = await folders(scene.folder)
      const network = { mode: "user", ports: [{ guest: PORT }] }
      await withLinux(scene, { shares: given.shares, network }, async (linux) => {
        await rootOfItsDisk(linux)
        await mountedAsTold(linux)
        await nothingLeadsOut(linux, given)
        await bothSeeTheSame(linux, given)
        await staysAsItIs(linux, given)
        await sizeOfTheConsole(linux)
        const { nic, gateway } = await hasAnAddress(linux)
        await reachesNothing(linux, gateway)
        await speaksForItself(linux, nic)
        await endsInOrder(linux, given)
      })
    },
  },
]
