import { agentProgram } from "./program.ts"

/** What the kernel is told besides, so that the agent is there before the image's own first program. */
const FIRST = "rdinit=/ovm-agent"
const USUAL_INIT = "/init"
const FILE = 0o100755
const LINK = 0o120777

/** The kernel's arguments of a machine that boots with the agent; as they are if that is what they say already. */
export function withAgent(args: string): string {
  return args.split(" ").includes(FIRST) ? args : `${args} ${FIRST}`.trim()
}

/** The image's own first program: the last one that its arguments name. */
function initOf(args: string): string {
  const named = args.split(" -- ")[0]?.match(/(?<=(^|\s)rdinit=)\S+/g)
  return named?.filter((name) => `rdinit=${name}` !== FIRST).at(-1) ?? USUAL_INIT
}

/**
 * What comes behind an initrd of `size` bytes: the padding that the kernel wants, and an archive with the agent and a
 * link to the first program that `args` would have run (docs/design/0046-agent.md).
 */
export function agentSegment(size: number, args: string): Buffer {
  return Buffer.concat([
    new Uint8Array(-size & 3),
    entry("ovm-agent", FILE, agentProgram()),
    entry(".ovm-init", LINK, Buffer.from(initOf(args))),
    entry("TRAILER!!!", 0, new Uint8Array()),
  ])
}

/** Of the archives that Linux unpacks (Documentation/driver-api/early-userspace/buffer-format.rst). */
function entry(name: string, mode: number, content: Uint8Array): Buffer {
  const named = Buffer.from(`${name}\0`)
  const numbers = [0, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, named.length, 0]
  const header = `070701${numbers.map((number) => number.toString(16).padStart(8, "0")).join("")}`
  const head = Buffer.concat([Buffer.from(header), named])
  return Buffer.concat([head, new Uint8Array(-head.length & 3), content, new Uint8Array(-content.length & 3)])
}
