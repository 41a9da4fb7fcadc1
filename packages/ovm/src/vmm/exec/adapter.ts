import { statSync } from "node:fs"
import { OvmError } from "../../errors.ts"
import { findAdapter, programOf } from "./find.ts"
import { Session } from "./session.ts"

type Json = Readonly<Record<string, unknown>>

/** Told what the guest of one machine does. */
type Listener = (told: Json) => void

/**
 * The adapter of one VMM: a process that is there when it is needed, and another one where it has ended, or its program
 * has been replaced.
 */
export class Adapter {
  #session: Promise<Session> | undefined
  /** What `#session` has become. */
  #last: Session | undefined
  #program = ""
  readonly #listeners = new Map<string, Listener>()

  constructor(readonly name: string) {}

  /** Its file. Throws OVM_VMM_MISSING. */
  get program(): string {
    const path = findAdapter(this.name)
    if (path !== undefined) return path
    throw new OvmError("OVM_VMM_MISSING", `there is no adapter ${programOf(this.name)} on PATH`, {
      hint: "ovm info names the VMMs that daemon.json lets machines have",
    })
  }

  /** What it answers. Throws OVM_VMM_MISSING, and what Session.open and Session.ask throw. */
  async ask(verb: string, members: Json = {}): Promise<Json> {
    return await (await this.#open()).ask(verb, members)
  }

  /**
   * As `ask`, for what may be asked twice: where the adapter ends before it has answered, which changes nothing about
   * its machines (OVMS-ADP-021), the next one is asked.
   */
  async askSurely(verb: string, members: Json): Promise<Json> {
    const session = await this.#open()
    try {
      return await session.ask(verb, members)
    } catch (error) {
      if (!session.hasLeft) throw error
      return await this.ask(verb, members)
    }
  }

  /**
   * What is answered to `verb` about a machine, and each change of what its guest does for `listener` until `forget`.
   * The second answer settles once nothing will be told any more.
   */
  async tell(
    verb: "start" | "watch",
    { directory, own }: { readonly directory: string; readonly own: unknown },
    listener: Listener,
  ): Promise<{ told: Json; over: Promise<void> }> {
    this.#listeners.set(directory, listener)
    try {
      const session = await this.#open()
      return { told: await session.ask(verb, { directory, own }), over: session.over }
    } catch (error) {
      this.forget(directory, listener)
      throw error
    }
  }

  forget(directory: string, listener: Listener): void {
    if (this.#listeners.get(directory) === listener) this.#listeners.delete(directory)
  }

  /** Ends the process, if there is one; false if it had to be killed. The next question starts another. */
  async close(): Promise<boolean> {
    const last = this.#last
    this.#session = undefined
    this.#last = undefined
    return (await last?.end()) ?? true
  }

  #open(): Promise<Session> {
    const path = this.program
    const program = identityOf(path)
    if (this.#session && this.#program === program && !this.#last?.isOver) return this.#session
    void this.#last?.end()
    this.#last = undefined
    this.#program = program
    const opening = Session.open(this.name, path, (directory, told) => this.#listeners.get(directory)?.(told))
    this.#session = opening
    opening.then(
      (session) => {
        if (this.#session === opening) this.#last = session
        else void session.end()
      },
      () => {
        if (this.#session === opening) this.#session = undefined
      },
    )
    return opening
  }
}

/** Another one where the file was replaced. */
function identityOf(path: string): string {
  const { dev, ino, mtimeMs, size } = statSync(path)
  return [path, dev, ino, mtimeMs, size].join()
}
