import { must, skip } from "../../check.ts"
import { within } from "../../subject/within.ts"
import { ethernet } from "../networks/frames.ts"
import { honoured, planOf, Vmm } from "./machine.ts"
import type { AdapterPlan } from "./plan.ts"

const PATIENCE_MS = 30_000
const GUEST = { mac: "52:54:00:12:34:56" }
const OURS = { mac: "52:54:00:00:00:01" }
/** For experiments of one's own (IEEE 802): nothing else answers it. */
const KIND = 0x88b5
const TEXTS = ["one", "two", "three"]

/** All texts on their way, each as a stream has it: behind its length in four bytes. */
function framed(way: Parameters<typeof ethernet>[0]): Buffer {
  const frames = TEXTS.flatMap((text) => {
    const frame = ethernet(way, KIND, Buffer.from(text.padEnd(60, ".")))
    const length = Buffer.alloc(4)
    length.writeUInt32BE(frame.length)
    return [length, frame]
  })
  return Buffer.concat(frames)
}

/** Frames go both ways by the descriptor that the VMM inherits: the guest gives back what comes. */
export const adapterFramesPlans: readonly AdapterPlan[] = [
  {
    name: "frames",
    covers: ["OVMS-ADP-053"],
    async run({ session, ...call }) {
      const network = { ...GUEST, descriptor: 6, frames: "stream" }
      const plan = await planOf(call, "net=2", { network })
      await honoured(session, plan, ["network"])
      await Vmm.run(session, plan, call, async (vmm) => {
        let came = Buffer.alloc(0)
        vmm.frames.on("data", (data: Buffer) => {
          came = Buffer.concat([came, data])
        })
        await session.ask("start", vmm.members)
        await vmm.says(/NIC .*\r?\n/)
        if (vmm.console.includes("NIC none"))
          skip("the guest finds no such device on PCI, which is all that it knows")
        vmm.frames.write(framed({ from: OURS, to: GUEST }))
        const back = framed({ from: GUEST, to: OURS })
        await vmm.says(/FRAME 3\r?\n|TICK 30\r?\n/)
        must(vmm.console.includes("FRAME 3"), "what is written to the descriptor does not come to the guest")
        await within(PATIENCE_MS, call.signal, "three frames to come back", () => came.length >= back.length)
        must(came.equals(back), `what came back of three frames is ${came.toString("hex")}`)
        await session.ask("quit", vmm.members)
        await vmm.end()
      })
    },
  },
]
