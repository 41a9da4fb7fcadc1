import { Runtime } from "../../subject/runtime.ts"
import { harnessOf, type Scene } from "./plan.ts"

/** Another runtime by the same command, for what would disturb the one that all checks share. */
export async function aside(
  scene: Scene,
  use: (scene: Scene) => Promise<void>,
  settings: Readonly<Record<string, string>> = {},
): Promise<void> {
  const harness = await harnessOf(scene.runtime).another(settings)
  try {
    await harness.start(scene.signal)
    const runtime = new Runtime(harness.socket, scene.runtime.machines, harness, scene.signal)
    const start = async (body: object) => {
      const { instance_id } = await runtime.ask<{ instance_id: string }>("POST /start", "", { body })
      return instance_id
    }
    const boot = async (args = "", overrides = {}) => {
      const line = `console=ttyS0 ${args} tick_ms=100`
      const id = await start({ manifest: runtime.guest, overrides: { args: line, ...overrides } })
      await runtime.says(id, /GUEST-READY[^\n]*\n/)
      return id
    }
    await use({ ...scene, runtime, start, boot })
  } finally {
    await harness.close()
  }
}
