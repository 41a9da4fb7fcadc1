import { documentOf, readLayout } from "../../artifact/layout.ts"
import { must, skip } from "../../check.ts"
import type { Runtime } from "../../subject/runtime.ts"
import { lacks, vmmNames } from "../../subject/vmms.ts"
import { aside } from "../runtime/aside.ts"
import type { Scene } from "../runtime/plan.ts"

/** How long a Linux may take until an agent answers in it, on an emulated processor of a busy host. */
export const READY_MS = 250_000

export interface Said {
  readonly exit_code: number
  readonly stdout: string
  readonly stderr: string
}

/** A Linux that runs, with an agent. */
export interface Linux extends Scene {
  readonly id: string
}

/**
 * The path of the machine that the suite was given; skips without one, and for one that says that it is for a VMM which
 * the runtime has not enabled, where there is none but such as have no PCI, by which its Linux looks for all.
 */
export async function linuxOf({ runtime }: Pick<Scene, "runtime">): Promise<string> {
  const layout = runtime.linux ?? skip("the suite was given no machine with Linux: see --linux")
  if (!(await lacks(runtime, "pci"))) return layout
  const manifest = await documentOf(await readLayout(layout))
  const wanted: readonly string[] = manifest?.runtimeHints?.preferredRuntime ?? []
  const has = wanted.length === 0 || (await vmmNames(runtime)).some((name) => wanted.includes(name))
  if (!has) skip(`the machine with Linux that the suite was given is for ${wanted.join(", ")}`)
  return layout
}

/** Has a Linux as long as `use` takes, in a runtime of its own; skips where the suite was given none. */
export async function withLinux(
  scene: Scene,
  overrides: object,
  use: (linux: Linux) => Promise<void>,
): Promise<void> {
  const manifest = await linuxOf(scene)
  await aside(scene, async (own) => {
    const id = await own.start({ manifest, overrides: { agent: true, ...overrides } })
    await answers(own.runtime, id)
    await use({ ...own, id })
  })
}

/** Waits until an agent answers in it. */
export async function answers(runtime: Runtime, id: string): Promise<void> {
  await runtime.reaches(id, "running")
  await runtime.until(
    "an agent answers in the Linux",
    async () => {
      const query = "timeout_ms=20000"
      return (await runtime.raw("GET", `/instances/${id}/ready`, { query })).status === 200
    },
    READY_MS,
  )
}

/** What a script says inside. */
export function inside({ runtime, id }: Pick<Linux, "runtime" | "id">, script: string): Promise<Said> {
  const body = { command: ["sh", "-c", script], timeout_ms: 30_000 }
  return runtime.ask<Said>("POST /instances/{instance_id}/exec", id, { body })
}

/** What it writes; fails if it does not end well. */
export async function output(linux: Pick<Linux, "runtime" | "id">, script: string): Promise<string> {
  const { exit_code, stdout, stderr } = await inside(linux, script)
  must(exit_code === 0, `${script} ended with ${exit_code} in the Linux: ${stderr.slice(0, 300)}`)
  return stdout.trim()
}
