import { randomUUID } from "node:crypto"
import { mkdirSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import type { Call } from "../../content/interfaces.ts"
import { type Lock, lock, tryLock } from "../../host/lock.ts"
import { paths } from "../../host/paths.ts"
import type { Runtime } from "../../runtime/interfaces.ts"
import { removed } from "../kept.ts"
import { BUILD_LABEL } from "./builder.ts"

const MARK = ".build"

/** The builds of one root, this one among them: each holds a file as long as it lives, and another one sees that. */
export class BuildPlace implements Disposable {
  private constructor(
    readonly folder: string,
    /** Of this build. */
    readonly id: string,
    private readonly held: Lock,
  ) {}

  static async open(call: Call): Promise<BuildPlace> {
    const folder = join(paths().root, "building")
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const id = randomUUID()
    return new BuildPlace(folder, id, await lock(join(folder, id + MARK), "exclusive", call))
  }

  /** Removes the machines of builds that were killed. */
  async sweep(runtime: Runtime, call: Call): Promise<void> {
    const marks = readdirSync(this.folder).filter((name) => name.endsWith(MARK) && name !== this.id + MARK)
    if (marks.length === 0) return
    const instances = await runtime.list(call)
    for (const mark of marks) {
      const path = join(this.folder, mark)
      using dead = tryLock(path, "exclusive")
      if (!dead) continue
      const id = mark.slice(0, -MARK.length)
      for (const { instance_id, labels } of instances)
        if (labels?.[BUILD_LABEL] === id) await removed(runtime, instance_id)
      rmSync(path, { force: true })
    }
  }

  [Symbol.dispose](): void {
    rmSync(join(this.folder, this.id + MARK), { force: true })
    this.held.release()
  }
}
