import { harnessOf, type Plan, type Scene, sceneOf } from "./plan.ts"

/**
 * Another runtime by the same command, behind a program where one is named in the shell's words, for what would disturb
 * the one that all checks share.
 */
export async function aside(
  scene: Scene,
  use: (scene: Scene) => Promise<void>,
  settings: Readonly<Record<string, string>> = {},
  before = "",
): Promise<void> {
  const harness = await harnessOf(scene.runtime).another(settings, before)
  try {
    await harness.start(scene.signal)
    // Its machines go with it.
    await use({ ...scene, ...sceneOf(scene.runtime.of(harness), scene, []) })
  } finally {
    await harness.close()
  }
}

/** A plan that kills or damages its runtime has one of its own. */
export function apart(plan: Plan): Plan {
  return { ...plan, run: (scene) => aside(scene, plan.run) }
}
