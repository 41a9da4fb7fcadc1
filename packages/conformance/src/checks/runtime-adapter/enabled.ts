import { chmod, mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { skip } from "../../check.ts"
import { alive } from "../../subject/processes.ts"
import { vmmNames } from "../../subject/vmms.ts"
import { aside } from "../runtime/aside.ts"
import type { Scene } from "../runtime/plan.ts"
import { ADAPTER, MACHINE } from "./program.ts"

export const NAME = "suite"

/** What the adapter does of a verb, or of its first line, in place of what it should. */
export type Manners = Readonly<Record<string, string>>

export interface Asked {
  readonly id: number
  readonly verb: string
  readonly directory?: string
  readonly plan?: { readonly directory: string }
}

/** The suite's adapter, in a folder of its own. */
export class Lying {
  private constructor(readonly folder: string) {}

  /** `names`: by which it can be found there. */
  static async create(folder: string, names: readonly string[]): Promise<Lying> {
    const own = join(folder, "adapter")
    await mkdir(own)
    await writeFile(join(own, "adapter.mjs"), ADAPTER)
    await writeFile(join(own, "machine.sh"), MACHINE)
    for (const name of names) {
      const path = join(own, `ovm-vmm-${name}`)
      await writeFile(path, `#!/bin/sh\nexec '${process.execPath}' '${own}/adapter.mjs' ${name} '${own}'\n`)
      await chmod(path, 0o755)
    }
    const made = new Lying(own)
    await made.behave({})
    return made
  }

  behave(manners: Manners): Promise<void> {
    return writeFile(join(this.folder, "manners.json"), JSON.stringify(manners))
  }

  /** The processes of it that there have been. */
  async begun(): Promise<number[]> {
    return (await this.#lines("begun")).map(Number)
  }

  async living(): Promise<number[]> {
    return alive(await this.begun())
  }

  async asked(verb: string): Promise<Asked[]> {
    return (await this.#lines("asked")).map((line) => JSON.parse(line)).filter((one) => one.verb === verb)
  }

  async #lines(name: string): Promise<string[]> {
    const text = await readFile(join(this.folder, name), "utf8").catch(() => "")
    return text.split("\n").filter(Boolean)
  }
}

export interface Backstage extends Scene {
  readonly adapter: Lying
  /** The first of the VMMs that the runtime knows by itself. */
  readonly own: string
}

interface Wishes {
  /** Whether the operator has enabled it. */
  readonly enabled?: boolean
  readonly manners?: Manners
}

/** Another runtime, on whose PATH the suite's adapter is. */
export async function withAdapter(
  scene: Scene,
  use: (backstage: Backstage) => Promise<void>,
  { enabled = true, manners = {} }: Wishes = {},
): Promise<void> {
  const [own = skip("the runtime has no VMM")] = await vmmNames(scene.runtime)
  const adapter = await Lying.create(scene.folder, [NAME, own])
  await adapter.behave(manners)
  const settings = {
    PATH: `${adapter.folder}:${process.env.PATH}`,
    ...(enabled && { OVMS_CONFORMANCE_VMMS: `${own},${NAME}` }),
  }
  await aside(
    scene,
    async (other) => {
      if (enabled && !(await vmmNames(other.runtime)).includes(NAME))
        skip("the runtime knows no adapters, or its command none of OVMS_CONFORMANCE_VMMS")
      await use({ ...other, adapter, own })
    },
    settings,
  )
}
