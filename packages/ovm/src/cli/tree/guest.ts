import { randomUUID } from "node:crypto"
import { execOutput } from "../../api/client.ts"
import type { Bytes } from "../../content/interfaces.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import type { ExecEnd, Runtime } from "../../runtime/interfaces.ts"

/** The most that one request takes (spec/limits.md). */
const MOST = 32 << 10
/** Of what a guest's program says of its failure, in characters. */
const MOST_WORDS = 1000

/** A machine whose guest has a `tar`. */
export class GuestTree {
  constructor(
    private readonly runtime: Runtime,
    private readonly id: string,
    private readonly signal: AbortSignal,
  ) {}

  async isFolder(path: string): Promise<boolean> {
    const { exit_code } = await this.runtime.exec(this.id, { command: ["test", "-d", path] }, this.#call)
    return exit_code === 0
  }

  /** What is called `name` in a folder of the guest, as tar. Throws OVM_FILE_UNREADABLE in the guest's words. */
  async *read(folder: string, name: string): Bytes {
    const command = ["tar", "-C", folder, "-cf", "-", "--", name]
    const pieces = execOutput(await this.#begin(command, randomUUID()))
    yield* this.#output(pieces, `${folder}/${name}`)
  }

  /** Has the guest unpack `content` in a folder of its own. Throws OVM_FILE_UNREADABLE in the guest's words. */
  async write(folder: string, content: Bytes): Promise<void> {
    const attachment = randomUUID()
    const failed = new AbortController()
    const bytes = await this.#begin(["tar", "-C", folder, "-xf", "-"], attachment, {
      interactive: true,
      signal: AbortSignal.any([this.signal, failed.signal]),
    })
    const type = (bytes: Uint8Array, end = false) =>
      this.runtime.execType(this.id, { attachment, bytes, end })
    const sending = (async () => {
      for await (const chunk of content)
        for (let at = 0; at < chunk.length; at += MOST) await type(chunk.subarray(at, at + MOST))
      await type(new Uint8Array(), true)
    })()
    // Of a command that has ended its own words are the reason. Of anything else, it is not waited for.
    sending.catch((thrown) => {
      if (toOvmError(thrown).code !== "OVM_STATE_CONFLICT") failed.abort(thrown)
    })
    for await (const _ of this.#output(execOutput(bytes), folder));
    await sending
  }

  get #call() {
    return { signal: this.signal }
  }

  #begin(
    command: string[],
    attachment: string,
    { interactive = false, signal = this.signal } = {},
  ): Promise<Bytes> {
    const request = { command, ...(interactive && { interactive }) }
    return this.runtime.execStream(this.id, request, { attachment, signal })
  }

  async *#output(pieces: ReturnType<typeof execOutput>, what: string): Bytes {
    let said = ""
    for (;;) {
      const next = await pieces.next()
      if (next.done) return refuseFailure(next.value, what, said)
      const { channel, bytes } = next.value
      if (channel === "stdout") yield bytes
      else if (said.length < MOST_WORDS) said += Buffer.from(bytes).toString()
    }
  }
}

function refuseFailure({ exit_code }: ExecEnd, what: string, said: string): void {
  if (exit_code === 0) return
  const why = said.trim().slice(0, MOST_WORDS) || `tar ended with status ${exit_code}`
  throw new OvmError("OVM_FILE_UNREADABLE", `${what} in the guest: ${why}`, {
    ...(exit_code === 127 && { hint: "the guest needs a tar, as busybox has it" }),
  })
}
