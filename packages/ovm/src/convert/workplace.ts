import { accessSync, constants, mkdirSync, rmSync } from "node:fs"
import type { Call } from "../content/interfaces.ts"
import { guardedSync } from "../files/guarded.ts"
import { sweepTemporaries, temporaryIn } from "../files/temporary.ts"
import { type Lock, lock, tryLock } from "../host/lock.ts"

/** Where disks are put while they are converted. What somebody left who was killed goes with the next one's. */
export class Workplace implements Disposable {
  readonly #files: string[] = []

  private constructor(
    private readonly folder: string,
    private readonly held: Lock | undefined,
  ) {}

  /** In `folder`, which is made if absent, and is for this alone. Throws as lock does. */
  static async open(folder: string, call: Call = {}): Promise<Workplace> {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const alone = tryLock(folder, "exclusive")
    if (alone) await sweepTemporaries(folder, 0).finally(() => alone.release())
    return new Workplace(folder, await lock(folder, "shared", { existing: true, ...call }))
  }

  /**
   * In a folder of the user's, for a file that is going to be renamed there. Throws OVM_FILE_UNREADABLE,
   * OVM_PERMISSION_DENIED where nothing can be written there.
   */
  static async beside(folder: string): Promise<Workplace> {
    guardedSync(() => accessSync(folder, constants.W_OK))
    await sweepTemporaries(folder)
    return new Workplace(folder, undefined)
  }

  /** The path of a file that is not there yet, and is gone with this. */
  file(): string {
    const path = temporaryIn(this.folder)
    this.#files.push(path)
    return path
  }

  [Symbol.dispose](): void {
    for (const path of this.#files) rmSync(path, { force: true })
    this.held?.release()
  }
}
