import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Duplex } from "node:stream"
import { copyChecked } from "@ovms/testkit/checked.ts"
import { OwnSession } from "../../ovm/src/guest/agent/session.ts"
import type { AgentStream, StreamEnding } from "../../ovm/src/guest/agent/stream.ts"

export const SOURCES = join(import.meta.dir, "../src")

/** A folder with the agent, compiled with sanitizers: what it does here it does in a guest as well. */
export class Workshop implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), "ovm-agent-"))
  readonly #program = join(this.root, "ovm-agent")

  constructor() {
    copyChecked(SOURCES, this.#program, ["-D_GNU_SOURCE"])
  }

  /** One that serves the other end of `channel`. */
  start() {
    const child = spawn(this.#program, ["3"], { stdio: ["ignore", "inherit", "pipe", "pipe"] })
    let said = ""
    child.stderr?.on("data", (bytes) => {
      said += bytes
    })
    const ended = new Promise<{ code: number | null; said: string }>((resolve) =>
      child.once("close", (code) => resolve({ code, said })),
    )
    const channel = child.stdio[3] as Duplex
    return { channel, ended, pid: child.pid ?? 0, kill: () => child.kill("SIGKILL") }
  }

  /** One that has answered. */
  async session() {
    const agent = this.start()
    const session = await OwnSession.open(agent.channel)
    if (!session) throw new Error("the agent does not answer")
    return { ...agent, session }
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true })
  }
}

/** All that it wrote, and how it ended. */
export async function through(
  stream: AgentStream,
): Promise<{ out: string; err: string; ending: StreamEnding }> {
  const said = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] }
  for await (const { channel, bytes } of stream.output()) said[channel].push(bytes)
  const ending = await stream.ending
  return { out: `${Buffer.concat(said.stdout)}`, err: `${Buffer.concat(said.stderr)}`, ending }
}

export const command = (...argv: readonly string[]) => ["exec", ...argv.map((text) => `argument=${text}`)]
