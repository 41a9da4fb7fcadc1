// Commands and copies in one guest, by turns: through ovm, and over the bare channel to the same agent while no daemon
// holds it.
import { join } from "node:path"
import { connect } from "../packages/ovm/src/api/client.ts"
import { tarMember } from "../packages/ovm/src/content/archive/member.ts"
import { TAR_END } from "../packages/ovm/src/content/archive/tar.ts"
import type { Runtime } from "../packages/ovm/src/runtime/interfaces.ts"
import { AgentByHand } from "./agent-by-hand.ts"
import { OVM, output } from "./programs.ts"
import { again, bound, median, report, spread, timed } from "./turns.ts"

/** Within a turn, so that neither way has the quieter part of the hour. */
const COMMANDS = 10
const TRUE = ["exec", "argument=true"]

export interface Guest {
  readonly home: string
  readonly env: NodeJS.ProcessEnv
  readonly id: string
}

/** One way of doing the same things: milliseconds of each command and of each copy. */
class Way {
  readonly commands: number[] = []
  readonly into: number[] = []
  readonly out: number[] = []

  async turn(exec: () => Promise<unknown>, into: () => Promise<unknown>, out: () => Promise<unknown>) {
    // The first one after a rest is the guest's waking up.
    await exec()
    for (let nth = 0; nth < COMMANDS; nth++) this.commands.push(await timed(exec))
    this.into.push(await timed(into))
    this.out.push(await timed(out))
  }
}

async function* archive(bytes: number): AsyncGenerator<Uint8Array> {
  yield tarMember("copied", bytes, {})
  const piece = new Uint8Array(1 << 20)
  for (let at = 0; at < bytes; at += piece.length) yield piece
  yield TAR_END
}

async function drained(runtime: Runtime, id: string): Promise<void> {
  for await (const _ of await runtime.readFiles(id, { path: "/mnt/copied" }));
}

/** Leaves no daemon behind. */
export async function sameGuest({ home, env, id }: Guest, mib: number, seconds: number): Promise<void> {
  const bytes = mib << 20
  const [ours, hand] = [new Way(), new Way()]
  const rounds = await again(seconds, async () => {
    output([OVM, "daemon", "--detach"], env)
    const runtime = connect(join(home, "ovm.sock"))
    await runtime.ready(id, { timeoutMs: 60_000 })
    await ours.turn(
      () => runtime.exec(id, { command: ["true"] }),
      () => runtime.writeFiles(id, { path: "/mnt", content: archive(bytes) }),
      () => drained(runtime, id),
    )
    output([OVM, "daemon", "--stop"], env)
    const agent = await AgentByHand.open(join(home, "instances", id))
    await hand.turn(
      () => agent.do(TRUE),
      () => agent.do(["write", "path=/mnt"], archive(bytes)),
      () => agent.do(["read", "path=/mnt/copied"]),
    )
    agent.close()
  })
  const more = spread("exec true", ours.commands) - spread("  bare channel", hand.commands)
  bound("  more than by that", more, 5, "ms")
  for (const way of ["into", "out"] as const)
    report(
      `${rounds} times ${mib} MiB ${way}, median`,
      median(ours[way]),
      { name: "bare channel", took: median(hand[way]) },
      1 / 0.8,
    )
}
