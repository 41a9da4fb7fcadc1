import { randomUUID } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import type { Call } from "../../content/interfaces.ts"
import { type Lock, lock, tryLock } from "../../host/lock.ts"
import { paths } from "../../host/paths.ts"
import type { Runtime } from "../../runtime/interfaces.ts"
import { removed } from "../kept.ts"
import { BUILD_LABEL } from "./builder.ts"

const MARK = ".build"

/**
 * The builds of one root, this one among them: each holds a file as long as it lives, and another one sees that. The
 * file stays where a machine may, so that the next build removes both.
 */
export class BuildPlace implements AsyncDisposable {
  /** Whose machines this build has, once it may have any. */
  #runtime: Runtime | undefined

  private constructor(
    readonly folder: string,
    /** Of this build. */
    readonly id: string,
    private readonly held: Lock,
  ) {}

  static async open(call: Call): Promise<BuildPlace> {
    const folder = join(paths().root, "building")
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    for (;;) {
      const id = randomUUID()
      const path = join(folder, id + MARK)
      const held = await lock(path, "exclusive", call)
      // Another one may have found it before it was held, and taken it for one of a build that was killed.
      if (existsSync(path)) return new BuildPlace(folder, id, held)
      held.release()
    }
  }

  /** Whether there are builds that have ended without removing all that they had. */
  hasLeftovers(): boolean {
    return this.#others().some((mark) => {
      using dead = tryLockPresent(mark)
      return dead !== undefined
    })
  }

  /** Removes the machines of builds that were killed. Machines of this one are those of `runtime`. */
  async sweep(runtime: Runtime, call: Call): Promise<void> {
    this.#runtime = runtime
    for (const mark of this.#others()) {
      using dead = tryLockPresent(mark)
      if (!dead) continue
      await removeMachines(runtime, mark.slice(this.folder.length + 1, -MARK.length), call)
      rmSync(mark, { force: true })
    }
  }

  #others(): string[] {
    return readdirSync(this.folder)
      .filter((name) => name.endsWith(MARK) && name !== this.id + MARK)
      .map((name) => join(this.folder, name))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      // Also those of a start whose answer never came.
      if (this.#runtime) await removeMachines(this.#runtime, this.id)
      rmSync(join(this.folder, this.id + MARK), { force: true })
    } catch {
      // What ended the build says so.
    }
    this.held.release()
  }
}

async function removeMachines(runtime: Runtime, id: string, call: Call = {}): Promise<void> {
  for (const { instance_id, labels } of await runtime.list(call))
    if (labels?.[BUILD_LABEL] === id) await removed(runtime, instance_id)
}

/** Undefined also where its build has just ended, and removed it. */
function tryLockPresent(path: string): Lock | undefined {
  try {
    return tryLock(path, "exclusive")
  } catch (thrown) {
    if (!existsSync(path)) return undefined
    throw thrown
  }
}
