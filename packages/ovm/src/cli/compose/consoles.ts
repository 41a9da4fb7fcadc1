import type { Bytes, Call } from "../../content/interfaces.ts"
import { toOvmError } from "../../errors.ts"
import type { InstanceInfo, Runtime } from "../../runtime/interfaces.ts"
import { hasEnded } from "../../runtime/states.ts"
import { isRestarting, waitFor } from "../instances.ts"
import { consoleBefore, consoleOfLife, hasMissed } from "../lives.ts"
import { isTerminal, printBytes } from "../output.ts"
import { Harmless } from "../terminal/harmless.ts"
import type { Member } from "./labels.ts"
import { ofMachine } from "./of-machine.ts"

/** A line that is longer is printed in pieces. */
const LONGEST_LINE = 16 << 10

export interface ConsolesOptions extends Call {
  readonly follow?: boolean
  readonly tail?: number
  readonly since?: string
  readonly prefix: (machine: string) => string
}

/**
 * Prints what the machines write, line by line, each behind its name; with `follow` until all of them have ended, or
 * have been removed.
 */
export async function printConsoles(
  runtime: Runtime,
  members: readonly Member[],
  options: ConsolesOptions & { readonly from?: (member: Member) => { readonly tail?: number } },
): Promise<void> {
  const { from = () => ({}), ...all } = options
  const print = async (member: Member) => {
    const { machine, info } = member
    const shown = { lives: 0 }
    await printLives(runtime, member, { ...all, ...from(member), shown }).catch((thrown) => {
      // It has ended, and somebody has removed it since.
      if (shown.lives > 0 && toOvmError(thrown).code === "OVM_INSTANCE_UNKNOWN") return
      throw ofMachine(thrown, { machine, id: info.instance_id })
    })
  }
  await Promise.all(members.map(print))
}

/** One after the other, as long as it is started again. */
async function printLives(
  runtime: Runtime,
  { machine, info }: Member,
  options: ConsolesOptions & { readonly shown: { lives: number } },
): Promise<void> {
  const { prefix, signal, shown, ...what } = options
  const { instance_id: id } = info
  const call = signal ? { signal } : {}
  const print = async (bytes: Bytes) => {
    for await (const line of lines(bytes)) await printBytes(Buffer.from(`${prefix(machine)}  | ${line}\n`))
  }
  for (let life: InstanceInfo | undefined; ; ) {
    const now = await waitFor(runtime, id, ({ state }) => !what.follow || state !== "starting", call)
    if (life && now.started === life.started) return
    if (life && hasMissed(life, now)) await print(await consoleBefore(runtime, id, call))
    // Of a later life all of it is new.
    const bytes = await (life ? consoleOfLife(runtime, now, call) : runtime.logs(id, { ...what, ...call }))
    shown.lives++
    await print(bytes)
    if (!what.follow) return
    life = now
    await waitFor(
      runtime,
      id,
      (info) => !isRestarting(info) && (hasEnded(info.state) || info.started !== now.started),
      call,
    )
  }
}

/** On a terminal without what would change the screen. */
async function* lines(bytes: Bytes): AsyncGenerator<string> {
  const shown = isTerminal("stdout") ? new Harmless() : new Plain()
  let rest = ""
  for await (const chunk of bytes) {
    const all = (rest + shown.take(chunk)).split("\n")
    rest = all.pop() ?? ""
    for (const line of all) yield line.replace(/\r+$/, "")
    for (; rest.length > LONGEST_LINE; rest = rest.slice(LONGEST_LINE)) yield rest.slice(0, LONGEST_LINE)
  }
  rest += shown.end()
  if (rest !== "") yield rest
}

class Plain {
  readonly #decoder = new TextDecoder()
  take = (bytes: Uint8Array) => this.#decoder.decode(bytes, { stream: true })
  end = () => this.#decoder.decode()
}
