import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { type Lock, lock, tryLock } from "../../host/lock.ts"
import { endStray } from "../process/stray.ts"

/** Of whoever uses a place: nobody does any more once it can be locked. Above them: of whoever makes one. */
const LOCK = "lock"

/** A folder for the machines of one trial, which are gone with it. */
export class TrialPlace implements AsyncDisposable {
  readonly #machines: string[] = []

  private constructor(
    readonly folder: string,
    private readonly held: Lock,
  ) {}

  /** Makes one below `root`, and ends what whoever was killed in the middle has left there. */
  static async make(root: string): Promise<TrialPlace> {
    mkdirSync(root, { recursive: true, mode: 0o700 })
    using _ = await lock(join(root, LOCK), "exclusive")
    for (const name of readdirSync(root)) if (name !== LOCK) await clearLeft(join(root, name))
    const folder = mkdtempSync(join(root, "trial-"))
    return new TrialPlace(folder, await lock(join(folder, LOCK), "exclusive"))
  }

  /** The folder of one more machine. */
  machine(name: string): string {
    const directory = join(this.folder, name)
    mkdirSync(directory, { mode: 0o700 })
    this.#machines.push(directory)
    return directory
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  /** Ends whatever still works in the folders of its machines; the names of those in which something did. */
  async clear(): Promise<readonly string[]> {
    const left: string[] = []
    for (const directory of this.#machines) if (await endStray(directory)) left.push(directory)
    return left
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clear()
    rmSync(this.folder, { recursive: true, force: true })
    this.held.release()
  }
}

/** Unless somebody is at it. */
async function clearLeft(folder: string): Promise<void> {
  closeSync(openSync(join(folder, LOCK), "a", 0o600))
  const held = tryLock(join(folder, LOCK), "exclusive")
  if (!held) return
  for (const { name } of readdirSync(folder, { withFileTypes: true }).filter((one) => one.isDirectory()))
    await endStray(join(folder, name))
  rmSync(folder, { recursive: true, force: true })
  held.release()
}
